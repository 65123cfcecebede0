# tests/unit/runtime/image/
UNIT_TESTS += \
	tests/unit/runtime/image/test-inflate \
	tests/unit/runtime/image/test-manifest \
	tests/unit/runtime/image/test-mirror \
	tests/unit/runtime/image/test-outline \
	tests/unit/runtime/image/test-progress \
	tests/unit/runtime/image/test-prune \
	tests/unit/runtime/image/test-pull \
	tests/unit/runtime/image/test-reference \
	tests/unit/runtime/image/test-sandbox \
	tests/unit/runtime/image/test-store
if HAVE_ARCHIVE
UNIT_TESTS += tests/unit/runtime/image/test-apply
endif
tests_unit_runtime_image_test_apply_SOURCES = tests/unit/runtime/image/test-apply.c
tests_unit_runtime_image_test_apply_LDADD = $(RUNTIME_LIBS) $(ARCHIVE_LIBS) $(GUNZIP_LIBS) $(ZSTD_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_inflate_SOURCES = tests/unit/runtime/image/test-inflate.c
tests_unit_runtime_image_test_inflate_LDADD = $(RUNTIME_LIBS) $(GUNZIP_LIBS) $(ZSTD_LIBS) $(CRYPTO_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_manifest_SOURCES = tests/unit/runtime/image/test-manifest.c
tests_unit_runtime_image_test_manifest_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_pull_SOURCES = tests/unit/runtime/image/test-pull.c
tests_unit_runtime_image_test_pull_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_reference_SOURCES = tests/unit/runtime/image/test-reference.c
tests_unit_runtime_image_test_reference_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_store_SOURCES = tests/unit/runtime/image/test-store.c
tests_unit_runtime_image_test_store_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_prune_SOURCES = tests/unit/runtime/image/test-prune.c
tests_unit_runtime_image_test_prune_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_mirror_SOURCES = tests/unit/runtime/image/test-mirror.c
tests_unit_runtime_image_test_mirror_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_outline_SOURCES = tests/unit/runtime/image/test-outline.c
tests_unit_runtime_image_test_outline_LDADD = $(RUNTIME_LIBS) $(ZSTD_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_progress_SOURCES = tests/unit/runtime/image/test-progress.c
tests_unit_runtime_image_test_progress_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_image_test_sandbox_SOURCES = \
	tests/unit/runtime/image/test-sandbox.c runtime/unpack/sandbox.c runtime/unpack/sandbox.h
tests_unit_runtime_image_test_sandbox_LDADD = $(RUNTIME_LIBS) $(SECCOMP_LIBS) $(UNIT_LIBS)
