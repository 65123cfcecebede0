# tests/e2e/: bats files, run by tests/run.sh e2e
EXTRA_DIST += \
	tests/e2e/aws-double.py \
	tests/e2e/awsvpc.bats \
	tests/e2e/check-schema.py \
	tests/e2e/cloud-double.py \
	tests/e2e/depends.bats \
	tests/e2e/draining.bats \
	tests/e2e/first-boot.bats \
	tests/e2e/health.bats \
	tests/e2e/helper.bash \
	tests/e2e/hostile.bats \
	tests/e2e/hostile.py \
	tests/e2e/imds-double.py \
	tests/e2e/ipv6-only.bats \
	tests/e2e/local.bats \
	tests/e2e/metadata.bash \
	tests/e2e/metadata.bats \
	tests/e2e/metadata-states.bats \
	tests/e2e/quickstart.bats \
	tests/e2e/role-client.py \
	tests/e2e/peer.py \
	tests/e2e/registries.bats \
	tests/e2e/resilience.bats \
	tests/e2e/services.bats \
	tests/e2e/task-definition.bats \
	tests/e2e/tasks.bats \
	tests/e2e/terminal.py \
	tests/e2e/two-agents.bats \
	tests/e2e/twohosts.bats \
	tests/e2e/volumes.bats
