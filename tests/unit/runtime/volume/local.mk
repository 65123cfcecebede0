# tests/unit/runtime/volume/
UNIT_TESTS += tests/unit/runtime/volume/test-volume
tests_unit_runtime_volume_test_volume_SOURCES = tests/unit/runtime/volume/test-volume.c tests/unit/test.h
tests_unit_runtime_volume_test_volume_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
