# tests/fuzz/: one LLVMFuzzerTestOneInput per parser of foreign bytes, tests/fuzz/fuzz-NAME.c, with its
# corpus in tests/fuzz/corpus/NAME/. `make check` replays the corpora; --enable-fuzz links libFuzzer.
# A target adds itself with: FUZZ_TARGETS += tests/fuzz/fuzz-NAME and sets
# tests_fuzz_fuzz_NAME_SOURCES = tests/fuzz/fuzz-NAME.c $(FUZZ_DRIVER) and its _LDADD and _LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS).
if ENABLE_FUZZ
FUZZ_DRIVER =
else
FUZZ_DRIVER = tests/fuzz/replay.c
endif
EXTRA_DIST += tests/fuzz/replay.c tests/fuzz/corpus

FUZZ_TARGETS += tests/fuzz/fuzz-payload
tests_fuzz_fuzz_payload_SOURCES = tests/fuzz/fuzz-payload.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_payload_LDADD = $(AGENT_LIBS)
tests_fuzz_fuzz_payload_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)

FUZZ_TARGETS += tests/fuzz/fuzz-resolvconf
tests_fuzz_fuzz_resolvconf_SOURCES = tests/fuzz/fuzz-resolvconf.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_resolvconf_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_resolvconf_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
include tests/fuzz/controlplane-api.mk
include tests/fuzz/controlplane-wire.mk
include tests/fuzz/container.mk
include tests/fuzz/aws.mk
include tests/fuzz/config.mk
include tests/fuzz/image.mk
include tests/fuzz/localtask.mk
