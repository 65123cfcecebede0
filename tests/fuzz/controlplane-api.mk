FUZZ_TARGETS += tests/fuzz/fuzz-controlplane-api
tests_fuzz_fuzz_controlplane_api_SOURCES = tests/fuzz/fuzz-controlplane-api.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_controlplane_api_LDADD = $(CONTROLPLANE_LIBS)
tests_fuzz_fuzz_controlplane_api_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
FUZZ_TARGETS += tests/fuzz/fuzz-subnets
tests_fuzz_fuzz_subnets_SOURCES = tests/fuzz/fuzz-subnets.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_subnets_LDADD = $(CONTROLPLANE_LIBS)
tests_fuzz_fuzz_subnets_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
