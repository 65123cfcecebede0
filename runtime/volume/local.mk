# runtime/volume/: what volumes are made of; what may block is done by a small program of its own
libruntime_a_SOURCES += \
	runtime/volume/efs.c runtime/volume/efs.h \
	runtime/volume/job.c runtime/volume/job.h \
	runtime/volume/mountinfo.c runtime/volume/mountinfo.h \
	runtime/volume/volume.c runtime/volume/volume.h
pkglibexec_PROGRAMS += ecs-volume
ecs_volume_SOURCES = \
	runtime/volume/ecs-volume.c runtime/volume/ecs-volume.h \
	runtime/volume/attach.c \
	runtime/volume/populate.c
ecs_volume_LDADD = libruntime.a libcommon.a $(JANSSON_LIBS)
