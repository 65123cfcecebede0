# The parsers of what registries and images say.
FUZZ_TARGETS += tests/fuzz/fuzz-auth-challenge tests/fuzz/fuzz-image-config tests/fuzz/fuzz-image-manifest \
	tests/fuzz/fuzz-image-reference tests/fuzz/fuzz-layer-tar
tests_fuzz_fuzz_auth_challenge_SOURCES = tests/fuzz/fuzz-auth-challenge.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_auth_challenge_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_auth_challenge_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_image_config_SOURCES = tests/fuzz/fuzz-image-config.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_image_config_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_image_config_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_image_manifest_SOURCES = tests/fuzz/fuzz-image-manifest.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_image_manifest_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_image_manifest_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_image_reference_SOURCES = tests/fuzz/fuzz-image-reference.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_image_reference_LDADD = $(RUNTIME_LIBS)
tests_fuzz_fuzz_image_reference_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
tests_fuzz_fuzz_layer_tar_SOURCES = tests/fuzz/fuzz-layer-tar.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_layer_tar_LDADD = $(RUNTIME_LIBS) $(ZSTD_LIBS)
tests_fuzz_fuzz_layer_tar_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
FUZZ_TARGETS += tests/fuzz/fuzz-layer-apply
tests_fuzz_fuzz_layer_apply_SOURCES = tests/fuzz/fuzz-layer-apply.c $(FUZZ_DRIVER)
tests_fuzz_fuzz_layer_apply_LDADD = $(RUNTIME_LIBS) $(ZSTD_LIBS)
tests_fuzz_fuzz_layer_apply_LDFLAGS = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
