# tests/integration/shim/: containers under ecs-shim
CONTAINER_TESTS = tests/integration/shim/test-hostile tests/integration/shim/test-rootfs tests/integration/shim/test-shim \
	tests/integration/shim/test-health tests/integration/shim/test-migration
check_PROGRAMS += $(CONTAINER_TESTS)
TESTS += $(CONTAINER_TESTS)
tests_integration_shim_test_hostile_SOURCES = \
	tests/integration/shim/box.c tests/integration/shim/box.h \
	tests/integration/shim/hostile.c tests/integration/shim/tap.h
tests_integration_shim_test_hostile_LDADD = $(RUNTIME_LIBS)
tests_integration_shim_test_rootfs_SOURCES = tests/integration/shim/rootfs.c tests/integration/shim/tap.h
tests_integration_shim_test_rootfs_LDADD = $(RUNTIME_LIBS)
tests_integration_shim_test_shim_SOURCES = \
	tests/integration/shim/box.c tests/integration/shim/box.h tests/integration/host.h \
	tests/integration/shim/shim.c tests/integration/shim/tap.h
tests_integration_shim_test_shim_LDADD = $(RUNTIME_LIBS)
tests_integration_shim_test_shim_CPPFLAGS = $(AM_CPPFLAGS)
tests_integration_shim_test_migration_SOURCES = \
	tests/integration/shim/box.c tests/integration/shim/box.h \
	tests/integration/shim/migration.c tests/integration/shim/tap.h
tests_integration_shim_test_migration_LDADD = $(RUNTIME_LIBS)
tests_integration_shim_test_health_SOURCES = \
	tests/integration/shim/box.c tests/integration/shim/box.h tests/integration/host.h \
	tests/integration/shim/health.c tests/integration/shim/tap.h
tests_integration_shim_test_health_LDADD = $(RUNTIME_LIBS)
tests_integration_shim_test_health_CPPFLAGS = $(AM_CPPFLAGS)
if ENABLE_SANITIZERS
tests_integration_shim_test_shim_CPPFLAGS += -DWITH_SANITIZERS
tests_integration_shim_test_health_CPPFLAGS += -DWITH_SANITIZERS
endif
