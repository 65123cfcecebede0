# tests/integration/: in this order, which is that of their length, as far as it matters
include tests/integration/engine.mk
include tests/integration/net.mk
include tests/integration/container.mk
include tests/integration/controlplane.mk
include tests/integration/controlplane-wire.mk
include tests/integration/sessions.mk
include tests/integration/image.mk
TESTS += tests/integration/ecsctl-top.py
EXTRA_DIST += tests/integration/ecsctl-top.py
