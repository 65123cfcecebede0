# tests/integration/net/: the bridge network in a real kernel; moves into namespaces of its own
if HAVE_CMOCKA
check_PROGRAMS += tests/integration/net/test-net
TESTS += tests/integration/net/test-net
tests_integration_net_test_net_SOURCES = tests/integration/net/test-net.c tests/integration/host.h tests/unit/test.h
tests_integration_net_test_net_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
endif
