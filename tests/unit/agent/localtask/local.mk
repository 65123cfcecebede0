# tests/unit/agent/localtask/
UNIT_TESTS += tests/unit/agent/localtask/test-localtask
tests_unit_agent_localtask_test_localtask_SOURCES = tests/unit/agent/localtask/test-localtask.c
tests_unit_agent_localtask_test_localtask_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
