# Fuzz target of task definitions that people of the host run.
FUZZ_TARGETS += tests/fuzz/fuzz-localtask
tests_fuzz_fuzz_localtask_SOURCES = tests/fuzz/fuzz-localtask.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_localtask_LDADD = $(AGENT_LIBS)
tests_fuzz_fuzz_localtask_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
