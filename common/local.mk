# common/: what everyone may use and what knows nothing of ECS
noinst_LIBRARIES += libcommon.a
libcommon_a_SOURCES = \
	common/backoff.c common/backoff.h \
	common/buf.c common/buf.h \
	common/cleanup.h \
	common/clock.c common/clock.h \
	common/db.c common/db.h \
	common/digest.c common/digest.h \
	common/err.c common/err.h \
	common/fs.c common/fs.h \
	common/json.c common/json.h \
	common/log.c common/log.h \
	common/macro.h \
	common/rotate.c common/rotate.h \
	common/spawn.c common/spawn.h \
	common/strv.c common/strv.h
COMMON_LIBS = libcommon.a $(JANSSON_LIBS) $(SYSTEMD_LIBS) $(SQLITE_LIBS) $(CRYPTO_LIBS)
