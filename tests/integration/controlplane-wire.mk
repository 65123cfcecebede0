# The control plane against an independent agent.
TESTS += tests/integration/controlplane-wire.sh
EXTRA_DIST += tests/integration/controlplane-wire.sh tests/integration/fake-agent.py
