# The API half.
UNIT_TESTS += \
	tests/unit/controlplane/test-arn \
	tests/unit/controlplane/test-eni \
	tests/unit/controlplane/test-expr \
	tests/unit/controlplane/test-placement \
	tests/unit/controlplane/test-service \
	tests/unit/controlplane/test-task \
	tests/unit/controlplane/test-taskdef
tests_unit_controlplane_test_arn_SOURCES = tests/unit/controlplane/test-arn.c tests/unit/controlplane/api.h tests/unit/test.h
tests_unit_controlplane_test_arn_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_expr_SOURCES = tests/unit/controlplane/test-expr.c
tests_unit_controlplane_test_expr_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_placement_SOURCES = tests/unit/controlplane/test-placement.c
tests_unit_controlplane_test_placement_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_task_SOURCES = tests/unit/controlplane/test-task.c
tests_unit_controlplane_test_task_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_taskdef_SOURCES = tests/unit/controlplane/test-taskdef.c
tests_unit_controlplane_test_taskdef_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_eni_SOURCES = tests/unit/controlplane/test-eni.c
tests_unit_controlplane_test_eni_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
tests_unit_controlplane_test_service_SOURCES = tests/unit/controlplane/test-service.c
tests_unit_controlplane_test_service_LDADD = $(CONTROLPLANE_LIBS) $(UNIT_LIBS)
