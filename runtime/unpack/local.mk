# runtime/unpack/: the confined process that inflates and unpacks what strangers made
libruntime_a_SOURCES += \
	runtime/unpack/apply.c runtime/unpack/apply.h \
	runtime/unpack/check.c runtime/unpack/check.h \
	runtime/unpack/gunzip.h \
	runtime/unpack/inflate.c runtime/unpack/inflate.h \
	runtime/unpack/inroot.c runtime/unpack/inroot.h \
	runtime/unpack/outline.c runtime/unpack/outline.h \
	runtime/unpack/outline-read.c runtime/unpack/outline-record.h \
	runtime/unpack/sparse.c runtime/unpack/sparse.h \
	runtime/unpack/tar.c runtime/unpack/tar.h \
	runtime/unpack/unpack.c runtime/unpack/unpack.h
if HAVE_ISAL
libruntime_a_SOURCES += runtime/unpack/gunzip-isal.c
else
libruntime_a_SOURCES += runtime/unpack/gunzip-zlib.c
endif
GUNZIP_LIBS = $(ISAL_LIBS) $(ZLIB_LIBS)
pkglibexec_PROGRAMS += ecs-unpack
ecs_unpack_SOURCES = runtime/unpack/ecs-unpack.c runtime/unpack/sandbox.c runtime/unpack/sandbox.h
ecs_unpack_LDADD = libruntime.a libcommon.a $(SECCOMP_LIBS) $(GUNZIP_LIBS) $(ZSTD_LIBS) \
	$(CRYPTO_LIBS) $(JANSSON_LIBS)
