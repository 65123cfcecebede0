# tests/unit/runtime/net/
UNIT_TESTS += tests/unit/runtime/net/test-addrpool
tests_unit_runtime_net_test_addrpool_SOURCES = tests/unit/runtime/net/test-addrpool.c tests/unit/test.h
tests_unit_runtime_net_test_addrpool_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/runtime/net/test-etcfiles
tests_unit_runtime_net_test_etcfiles_SOURCES = tests/unit/runtime/net/test-etcfiles.c tests/unit/test.h
tests_unit_runtime_net_test_etcfiles_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/runtime/net/test-nft
tests_unit_runtime_net_test_nft_SOURCES = tests/unit/runtime/net/test-nft.c tests/unit/test.h
tests_unit_runtime_net_test_nft_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/runtime/net/test-porttab
tests_unit_runtime_net_test_porttab_SOURCES = tests/unit/runtime/net/test-porttab.c tests/unit/test.h
tests_unit_runtime_net_test_porttab_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/runtime/net/test-net6
tests_unit_runtime_net_test_net6_SOURCES = tests/unit/runtime/net/test-net6.c tests/unit/test.h
tests_unit_runtime_net_test_net6_LDADD = $(RUNTIME_LIBS) $(UNIT_LIBS)
