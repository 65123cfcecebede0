#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The README's first command, as a newcomer types it.

setup() { load helper; }

@test "quickstart.sh runs three copies, shows them, and leaves nothing behind" {
	ip link set lo up
	# a place of its own: other tests come and go in /var/tmp
	TMPDIR=$(mktemp -d /var/tmp/ecs-quickstart-test.XXXXXX)
	export TMPDIR
	run -0 "$TOP/packaging/quickstart.sh" --small --no-install --build "$LAB_BUILD"
	echo "$output"
	[ "$(grep -c 'Hello from an ECS task.' <<<"$output")" -eq 3 ]
	[[ $output == *"nothing is left behind"* ]]
	rmdir "$TMPDIR" # it is empty
	run ! ip link show ecsqs0
	run ! nft list table inet ecs
	run ! nft list table bridge ecs
	[ -z "$(ip route show table all | grep 169.254)" ]
	[ -z "$(find /sys/fs/cgroup -name 'ecs-quickstart*')" ]
}
