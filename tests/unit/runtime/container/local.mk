# tests/unit/runtime/container/: spec, seccomp, users, cgroup paths, and the parts of the shim
CONTAINER_UNIT_TESTS = \
	tests/unit/runtime/container/test-cgroup \
	tests/unit/runtime/container/test-gpu \
	tests/unit/runtime/container/test-seccomp \
	tests/unit/runtime/container/test-seccomp-docker \
	tests/unit/runtime/container/test-shim \
	tests/unit/runtime/container/test-spec \
	tests/unit/runtime/container/test-user
UNIT_TESTS += $(CONTAINER_UNIT_TESTS)
EXTRA_DIST += tests/unit/runtime/container/unit.h
tests_unit_runtime_container_test_cgroup_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_gpu_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_seccomp_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_seccomp_docker_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_shim_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_spec_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
tests_unit_runtime_container_test_user_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
