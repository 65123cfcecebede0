# tests/integration/net/: the bridge network and the interfaces of tasks in a real kernel; they move into namespaces of their own
if HAVE_CMOCKA
NET_LAB = tests/integration/net/lab.c tests/integration/net/lab.h tests/integration/host.h tests/unit/test.h
check_PROGRAMS += tests/integration/net/test-net tests/integration/net/test-net6
TESTS += tests/integration/net/test-net tests/integration/net/test-net6
tests_integration_net_test_net_SOURCES = tests/integration/net/test-net.c $(NET_LAB)
tests_integration_net_test_net_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/integration/net/test-eni tests/integration/net/test-eni-vlan
TESTS += tests/integration/net/test-eni tests/integration/net/test-eni-vlan
tests_integration_net_test_eni_SOURCES = tests/integration/net/test-eni.c tests/integration/host.h tests/unit/test.h
tests_integration_net_test_eni_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_integration_net_test_eni_vlan_SOURCES = $(tests_integration_net_test_eni_SOURCES)
tests_integration_net_test_eni_vlan_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_integration_net_test_net6_SOURCES = tests/integration/net/test-net6.c $(NET_LAB)
tests_integration_net_test_net6_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
check_PROGRAMS += tests/integration/net/test-firewall
TESTS += tests/integration/net/test-firewall
tests_integration_net_test_firewall_SOURCES = tests/integration/net/test-firewall.c tests/unit/test.h
tests_integration_net_test_firewall_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
endif
