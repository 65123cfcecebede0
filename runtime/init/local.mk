# runtime/init/: the first process of containers that ask for one. It runs in images without a C library, so it is
# static and, in builds with sanitizers, without them; where nothing can be linked statically it is not built.
if HAVE_STATIC
pkglibexec_PROGRAMS += ecs-init
ecs_init_SOURCES = runtime/init/ecs-init.c
ecs_init_CFLAGS = -std=gnu17 -Os $(WARN_CFLAGS) $(HARDEN_CFLAGS)
ecs_init_LDFLAGS = -static
endif
