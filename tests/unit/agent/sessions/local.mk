# tests/unit/agent/sessions/: ctl, acs, tcs
UNIT_TESTS += tests/unit/agent/sessions/test-acs
tests_unit_agent_sessions_test_acs_SOURCES = tests/unit/agent/sessions/test-acs.c
tests_unit_agent_sessions_test_acs_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/agent/sessions/test-register
tests_unit_agent_sessions_test_register_SOURCES = tests/unit/agent/sessions/test-register.c
tests_unit_agent_sessions_test_register_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/agent/sessions/test-outbox
tests_unit_agent_sessions_test_outbox_SOURCES = tests/unit/agent/sessions/test-outbox.c
tests_unit_agent_sessions_test_outbox_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/agent/sessions/test-tcs
tests_unit_agent_sessions_test_tcs_SOURCES = tests/unit/agent/sessions/test-tcs.c
tests_unit_agent_sessions_test_tcs_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/agent/sessions/test-session
tests_unit_agent_sessions_test_session_SOURCES = tests/unit/agent/sessions/test-session.c $(AWS_FAKE)
tests_unit_agent_sessions_test_session_LDADD = $(AGENT_LIBS) $(UNIT_LIBS) -lpthread

UNIT_TESTS += tests/unit/agent/sessions/test-attachments
tests_unit_agent_sessions_test_attachments_SOURCES = tests/unit/agent/sessions/test-attachments.c
tests_unit_agent_sessions_test_attachments_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/agent/sessions/test-reach
tests_unit_agent_sessions_test_reach_SOURCES = tests/unit/agent/sessions/test-reach.c $(AWS_FAKE)
tests_unit_agent_sessions_test_reach_LDADD = $(AGENT_LIBS) $(UNIT_LIBS) -lpthread
