# runtime/runc/: the runtime's version, and its leftovers
libruntime_a_SOURCES += runtime/runc/runc.c runtime/runc/runc.h
