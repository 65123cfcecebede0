# tests/packaging/: units and packages as they are installed
TESTS += tests/packaging/units.sh
EXTRA_DIST += tests/packaging/units.sh
