# tests/packaging/: units and packages as they are installed
PACKAGING_TESTS = tests/packaging/cloud-init.sh tests/packaging/messages.sh tests/packaging/scripts.sh tests/packaging/units.sh
TESTS += $(PACKAGING_TESTS)
EXTRA_DIST += $(PACKAGING_TESTS) tests/packaging/make-package.sh tests/packaging/packages.sh
