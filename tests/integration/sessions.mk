# tests/integration/sessions: the agent's control-plane half against the real control plane
check_PROGRAMS += tests/integration/sessions/session-peer
tests_integration_sessions_session_peer_SOURCES = tests/integration/sessions/session-peer.c
tests_integration_sessions_session_peer_LDADD = $(AGENT_LIBS)
TESTS += tests/integration/sessions/sessions.sh
EXTRA_DIST += tests/integration/sessions/sessions.sh tests/integration/sessions/tls-relay.py
