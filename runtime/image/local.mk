# runtime/image/: the image store, references, the registry client and ecs-image
libruntime_a_SOURCES += \
	runtime/image/behavior.c \
	runtime/image/challenge.c runtime/image/challenge.h \
	runtime/image/image.c runtime/image/image.h \
	runtime/image/manifest.c runtime/image/manifest.h runtime/image/manifest-follow.c \
	runtime/image/mirror.c runtime/image/mirror.h \
	runtime/image/failure.h \
	runtime/image/login.c runtime/image/login.h \
	runtime/image/progress.c runtime/image/progress.h \
	runtime/image/prune.c runtime/image/prune.h \
	runtime/image/pull.c runtime/image/pull.h \
	runtime/image/reference.c runtime/image/reference.h \
	runtime/image/space.c runtime/image/space.h \
	runtime/image/store.c runtime/image/store.h \
	runtime/image/trust.c runtime/image/trust.h \
	runtime/image/store-remove.c runtime/image/store-write.c
pkglibexec_PROGRAMS += ecs-image
ecs_image_SOURCES = \
	runtime/image/ecs-image.c \
	runtime/image/assemble.c \
	runtime/image/command.c runtime/image/command.h \
	runtime/image/command-prune.c runtime/image/command-save.c runtime/image/command-verify.c \
	runtime/image/explain.c runtime/image/explain.h \
	runtime/image/fetch.c runtime/image/fetch.h \
	runtime/image/http.c runtime/image/http.h \
	runtime/image/layer.c runtime/image/layer.h runtime/image/parts.c runtime/image/parts.h \
	runtime/image/load.c runtime/image/load.h \
	runtime/image/registry.c runtime/image/registry.h \
	runtime/image/report.c runtime/image/report.h
ecs_image_LDADD = libruntime.a libcommon.a $(ZSTD_LIBS) $(CURL_LIBS) $(CRYPTO_LIBS) $(JANSSON_LIBS)
