FUZZ_TARGETS += tests/fuzz/fuzz-controlplane-api
tests_fuzz_fuzz_controlplane_api_SOURCES = tests/fuzz/fuzz-controlplane-api.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_controlplane_api_LDADD = $(CONTROLPLANE_LIBS)
tests_fuzz_fuzz_controlplane_api_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
