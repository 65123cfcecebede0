# runtime/seccomp/: the system calls of a container
libruntime_a_SOURCES += \
	runtime/seccomp/list.c runtime/seccomp/list.h \
	runtime/seccomp/seccomp.c runtime/seccomp/seccomp.h
