# Fuzz targets of the container runtime: users of an image, messages of the shim, container output.
FUZZ_TARGETS += tests/fuzz/fuzz-userdb tests/fuzz/fuzz-shim-wire tests/fuzz/fuzz-jsonlog
tests_fuzz_fuzz_userdb_SOURCES = tests/fuzz/fuzz-userdb.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_userdb_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_userdb_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_shim_wire_SOURCES = tests/fuzz/fuzz-shim-wire.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_shim_wire_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_shim_wire_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_jsonlog_SOURCES = tests/fuzz/fuzz-jsonlog.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_jsonlog_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_jsonlog_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
