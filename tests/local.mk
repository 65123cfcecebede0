# tests/: unit (cmocka, mirrors the tree), integration (root), e2e (bats), fuzz, bench
FUZZ_TARGETS =
include tests/fuzz/local.mk
include tests/unit/local.mk
include tests/integration/local.mk
include tests/e2e/local.mk
include tests/bench/local.mk
include tests/host/local.mk
include tests/packaging/local.mk
include tests/vm/local.mk
EXTRA_DIST += tests/run.sh tests/aws-cli.py
