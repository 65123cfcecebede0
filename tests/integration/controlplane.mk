# The control plane under the AWS CLI.
TESTS += tests/integration/controlplane.sh
EXTRA_DIST += tests/integration/controlplane.sh
