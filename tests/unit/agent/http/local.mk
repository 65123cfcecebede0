# tests/unit/agent/http/
UNIT_TESTS += tests/unit/agent/http/test-control-socket tests/unit/agent/http/test-servers
tests_unit_agent_http_test_control_socket_SOURCES = tests/unit/agent/http/test-control-socket.c
tests_unit_agent_http_test_control_socket_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_unit_agent_http_test_servers_SOURCES = tests/unit/agent/http/test-servers.c
tests_unit_agent_http_test_servers_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
