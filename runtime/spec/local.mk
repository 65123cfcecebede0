# runtime/spec/: OCI config.json from plain values
libruntime_a_SOURCES += \
	runtime/spec/caps.c runtime/spec/caps.h \
	runtime/spec/command.c \
	runtime/spec/devices.c \
	runtime/spec/limits.c \
	runtime/spec/mounts.c \
	runtime/spec/parts.h \
	runtime/spec/process.c \
	runtime/spec/resources.c \
	runtime/spec/spec.c runtime/spec/spec.h
