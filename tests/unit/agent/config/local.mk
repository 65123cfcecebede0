# tests/unit/agent/config/
UNIT_TESTS += tests/unit/agent/config/test-config
tests_unit_agent_config_test_config_SOURCES = tests/unit/agent/config/test-config.c
tests_unit_agent_config_test_config_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/agent/config/test-options
tests_unit_agent_config_test_options_SOURCES = tests/unit/agent/config/test-options.c
tests_unit_agent_config_test_options_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/agent/config/test-watchdog
tests_unit_agent_config_test_watchdog_SOURCES = tests/unit/agent/config/test-watchdog.c
tests_unit_agent_config_test_watchdog_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
