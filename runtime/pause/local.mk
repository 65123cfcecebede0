# runtime/pause/: holds the namespaces that a task's containers share. Its root has nothing but
# itself in it, so it is linked statically, and without the sanitizers, which cannot be.
pkglibexec_PROGRAMS += ecs-pause
ecs_pause_SOURCES = runtime/pause/pause.c
ecs_pause_CFLAGS = -std=gnu17 $(WARN_CFLAGS)
ecs_pause_LDFLAGS = -static
ecs_pause_LDADD =
