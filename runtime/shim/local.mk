# runtime/shim/: the parent of one container, its own small program, and the agent's side of it
libruntime_a_SOURCES += \
	runtime/shim/shim.h runtime/shim/client.h \
	runtime/shim/client.c runtime/shim/client-record.c runtime/shim/client-spawn.c \
	runtime/shim/args.c runtime/shim/args.h \
	runtime/shim/jsonlog.c runtime/shim/jsonlog.h \
	runtime/shim/logfile.c runtime/shim/logfile.h \
	runtime/shim/record.c runtime/shim/record.h \
	runtime/shim/verdict.c runtime/shim/verdict.h \
	runtime/shim/wire.c runtime/shim/wire.h

# libc only. Linked statically where the host can: half the private memory, and it starts sooner.
pkglibexec_PROGRAMS += ecs-shim
ecs_shim_SOURCES = \
	runtime/shim/main.c \
	runtime/shim/health.c runtime/shim/health.h \
	runtime/shim/killtree.c runtime/shim/killtree.h \
	runtime/shim/launch.c runtime/shim/launch.h \
	runtime/shim/serve.c runtime/shim/serve.h \
	runtime/shim/teardown.c runtime/shim/teardown.h
ecs_shim_LDADD = libruntime.a
ecs_shim_LDFLAGS = $(AM_LDFLAGS) $(SHIM_LDFLAGS)
