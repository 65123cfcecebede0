# runtime/seccomp/: the system calls of a container
libruntime_a_SOURCES += \
	runtime/seccomp/docker.c runtime/seccomp/docker.h \
	runtime/seccomp/docker-parts.c runtime/seccomp/docker-parts.h \
	runtime/seccomp/list.c runtime/seccomp/list.h \
	runtime/seccomp/seccomp.c runtime/seccomp/seccomp.h
