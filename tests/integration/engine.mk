# tests/integration/engine/: payloads to containers to reports, with the real runtime
if HAVE_CMOCKA
ENGINE_WORLD = tests/integration/engine/world.c tests/integration/engine/world.h tests/integration/host.h \
	tests/unit/test.h
ENGINE_TOLD = tests/integration/engine/told.c tests/integration/engine/told.h
# A third of the points each, as all of them take minutes.
CRASH_MATRIX = tests/integration/engine/test-crash-matrix-1 tests/integration/engine/test-crash-matrix-2 \
	tests/integration/engine/test-crash-matrix-3
# The longest first: most of their time is waiting, beside which the others run.
ENGINE_TESTS = tests/integration/engine/test-engine tests/integration/engine/test-runtime \
	tests/integration/engine/test-health $(CRASH_MATRIX) \
	tests/integration/engine/test-image-cleanup tests/integration/engine/test-inputs \
	tests/integration/engine/test-fields tests/integration/engine/test-offline \
	tests/integration/engine/test-awsvpc tests/integration/engine/test-volumes \
	tests/integration/engine/test-persistence tests/integration/engine/test-stops \
	tests/integration/engine/test-depends tests/integration/engine/test-crash \
	tests/integration/engine/test-pulls tests/integration/engine/test-limits \
	tests/integration/engine/test-doctor
check_PROGRAMS += $(ENGINE_TESTS)
TESTS += $(ENGINE_TESTS)
tests_integration_engine_test_depends_SOURCES = tests/integration/engine/test-depends.c agent/metering.c \
	$(ENGINE_WORLD)
tests_integration_engine_test_depends_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_awsvpc_SOURCES = tests/integration/engine/test-awsvpc.c $(ENGINE_WORLD)
tests_integration_engine_test_awsvpc_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_inputs_SOURCES = tests/integration/engine/test-inputs.c $(ENGINE_WORLD) $(AWS_FAKE)
tests_integration_engine_test_inputs_LDADD = $(AGENT_LIBS) $(UNIT_LIBS) -lpthread
tests_integration_engine_test_engine_SOURCES = tests/integration/engine/test-engine.c $(ENGINE_WORLD)
tests_integration_engine_test_engine_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_limits_SOURCES = tests/integration/engine/test-limits.c $(ENGINE_WORLD)
tests_integration_engine_test_limits_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_image_cleanup_SOURCES = tests/integration/engine/test-image-cleanup.c $(ENGINE_WORLD)
tests_integration_engine_test_image_cleanup_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_crash_SOURCES = tests/integration/engine/test-crash.c $(ENGINE_WORLD) $(ENGINE_TOLD)
tests_integration_engine_test_crash_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_volumes_SOURCES = tests/integration/engine/test-volumes.c $(ENGINE_WORLD)
tests_integration_engine_test_volumes_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_persistence_SOURCES = tests/integration/engine/test-persistence.c $(ENGINE_WORLD) \
	$(ENGINE_TOLD)
tests_integration_engine_test_persistence_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_doctor_SOURCES = tests/integration/engine/test-doctor.c $(ENGINE_WORLD)
tests_integration_engine_test_doctor_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_pulls_SOURCES = tests/integration/engine/test-pulls.c $(ENGINE_WORLD)
tests_integration_engine_test_pulls_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_offline_SOURCES = tests/integration/engine/test-offline.c $(ENGINE_WORLD) $(ENGINE_TOLD)
tests_integration_engine_test_offline_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
# The engine with its crash points in it; see agent/engine/crash.h.
check_LIBRARIES = libcrash.a
libcrash_a_SOURCES = $(engine_sources)
libcrash_a_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS
tests_integration_engine_test_crash_matrix_1_SOURCES = tests/integration/engine/test-crash-matrix.c $(ENGINE_WORLD) \
	$(ENGINE_TOLD)
tests_integration_engine_test_crash_matrix_1_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS -DPART=1
tests_integration_engine_test_crash_matrix_1_LDADD = libcrash.a $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_crash_matrix_2_SOURCES = tests/integration/engine/test-crash-matrix.c $(ENGINE_WORLD) \
	$(ENGINE_TOLD)
tests_integration_engine_test_crash_matrix_2_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS -DPART=2
tests_integration_engine_test_crash_matrix_2_LDADD = libcrash.a $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_crash_matrix_3_SOURCES = tests/integration/engine/test-crash-matrix.c $(ENGINE_WORLD) \
	$(ENGINE_TOLD)
tests_integration_engine_test_crash_matrix_3_CPPFLAGS = $(AM_CPPFLAGS) -DCRASH_POINTS -DPART=3
tests_integration_engine_test_crash_matrix_3_LDADD = libcrash.a $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_health_SOURCES = tests/integration/engine/test-health.c $(ENGINE_WORLD)
tests_integration_engine_test_health_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_fields_SOURCES = tests/integration/engine/test-fields.c $(ENGINE_WORLD)
tests_integration_engine_test_fields_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
tests_integration_engine_test_runtime_SOURCES = tests/integration/engine/test-runtime.c $(ENGINE_WORLD)
tests_integration_engine_test_runtime_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/integration/engine/fake-runc.sh
tests_integration_engine_test_stops_SOURCES = tests/integration/engine/test-stops.c $(ENGINE_WORLD)
tests_integration_engine_test_stops_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
endif
