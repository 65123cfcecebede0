# tests/unit/cli/
UNIT_TESTS += tests/unit/cli/test-ecsctl
tests_unit_cli_test_ecsctl_SOURCES = tests/unit/cli/test-ecsctl.c
tests_unit_cli_test_ecsctl_LDADD = $(CLI_LIBS) $(UNIT_LIBS)
