# tests/integration/engine/: payloads to containers to reports, with the real runtime
if HAVE_CMOCKA
ENGINE_WORLD = tests/integration/engine/world.c tests/integration/engine/world.h tests/integration/host.h \
	tests/unit/test.h
check_PROGRAMS += tests/integration/engine/test-engine tests/integration/engine/test-crash
TESTS += tests/integration/engine/test-engine tests/integration/engine/test-crash
tests_integration_engine_test_engine_SOURCES = tests/integration/engine/test-engine.c $(ENGINE_WORLD)
tests_integration_engine_test_engine_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_crash_SOURCES = tests/integration/engine/test-crash.c $(ENGINE_WORLD)
tests_integration_engine_test_crash_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
endif
