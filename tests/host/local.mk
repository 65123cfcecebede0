# tests/host/: what needs a kernel of its own, run by hand in a virtual machine; see HACKING.md
EXTRA_DIST += tests/host/nfs.sh tests/host/v2.sh tests/host/vm.sh
if HAVE_CMOCKA
EXTRA_PROGRAMS += tests/host/test-nfs
tests_host_test_nfs_SOURCES = tests/host/test-nfs.c $(ENGINE_WORLD)
tests_host_test_nfs_LDADD = $(AGENT_LIBS) $(UNIT_LIBS)
CLEANFILES += tests/host/test-nfs
endif
