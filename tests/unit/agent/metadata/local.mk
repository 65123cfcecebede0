# tests/unit/agent/metadata/
UNIT_TESTS += tests/unit/agent/metadata/test-metadata
tests_unit_agent_metadata_test_metadata_SOURCES = tests/unit/agent/metadata/test-metadata.c
tests_unit_agent_metadata_test_metadata_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
