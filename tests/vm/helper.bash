# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# helper - registry and control plane in this network namespace, and a virtual machine with the agent's package.
# Run through tests/vm/run.sh, which makes the images and packages and tells where they are:
# VM_IMAGE, VM_IMAGE_INSTALLED (of make-image.sh), VM_PACKAGE, VM_PACKAGE_NEWER (.deb files).

# shellcheck source=tests/e2e/helper.bash
. "$BATS_TEST_DIRNAME/../e2e/helper.bash"
# shellcheck source=tests/vm/machine.bash
. "$BATS_TEST_DIRNAME/machine.bash"

beside_up() { # what a machine finds at 10.0.2.2
	ip link set lo up
	LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-vm-test.XXXXXX")
	export LAB_DIR
	lab_start_registry 127.0.0.1:5000
	lab_make_small_image web:latest
	lab_start_controlplane 127.0.0.1:8080
}

beside_down() {
	local name
	for name in machine controlplane registry "$@"; do
		lab_stop "$name" KILL
	done
	[ -z "${LAB_KEEP:-}" ] || { echo "# kept $LAB_DIR" >&3 && return; }
	rm -rf "$LAB_DIR"
}

# What the machine says of itself goes into the report of a failed test.
vm_report() {
	[ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	vm -t 30 'systemctl --no-pager status ecs; systemctl --no-pager --failed; tail -n 20 /var/log/cloud-init-output.log
		journalctl --no-pager -u "ecs*" -n 40 -o short-monotonic' || tail -n 30 "$LAB_DIR/console.log"
	tail -n 5 "$LAB_DIR/controlplane.log"
}

register() { lab_api RegisterTaskDefinition "$(task_definition "$@")" >/dev/null; }
stop_task() { lab_api StopTask "{\"cluster\":\"$CLUSTER\",\"task\":\"$1\",\"reason\":\"test\"}" >/dev/null; }

describe() { # arn jq-filter
	lab_api DescribeTasks "{\"cluster\":\"$CLUSTER\",\"tasks\":[\"$1\"]}" | jq -r ".tasks[0] | $2"
}

instances() { # jq-filter, for each of the cluster's instances
	local arns
	arns=$(lab_api ListContainerInstances "{\"cluster\":\"$CLUSTER\"}" | jq -c .containerInstanceArns)
	[ "$arns" != '[]' ] || return 0
	lab_api DescribeContainerInstances "{\"cluster\":\"$CLUSTER\",\"containerInstances\":$arns}" |
		jq -r ".containerInstances[] | $1"
}
is_connected() { [ "$(instances '"\(.agentConnected) \(.status)"')" = "true ACTIVE" ]; }
is_draining() { [ "$(instances .status)" = DRAINING ]; }

# The ARNs of the tasks that run of a family, one a line.
tasks_of() { # family
	local arns
	arns=$(lab_api ListTasks "{\"cluster\":\"$CLUSTER\"}" | jq -c .taskArns)
	[ "$arns" != '[]' ] || return 0
	lab_api DescribeTasks "{\"cluster\":\"$CLUSTER\",\"tasks\":$arns}" |
		jq -r ".tasks[] | select(.lastStatus == \"RUNNING\" and (.taskDefinitionArn | contains(\"/$1:\"))) | .taskArn" | sort
}
runs() { [ "$(tasks_of "$1" | wc -l)" = "$2" ]; } # family number

# Each container that runs in the machine, with the pid of its first process.
container_pids() {
	vm 'runc --root /run/ecs/runc list -f json' | jq -r '.[]? | select(.status == "running") | "\(.id) \(.pid)"' | sort
}

# Runs a command in the machine and looks whether the containers are the same processes afterwards.
containers_outlive() {
	local before after
	before=$(container_pids)
	vm -t 120 "$1" || return 1
	lab_wait 90 "the agent to be connected" is_connected
	after=$(container_pids)
	[[ -n $before && $before == "$after" ]] || lab_die "containers were $before and are $after"
}

# The instance metadata service at its own address, of an instance as cloud-double.py knows them: metadata_up MOOD
metadata_up() {
	echo "$1" >"$LAB_DIR/mood"
	ip addr replace 169.254.169.254/32 dev lo
	lab_daemon metadata /usr/bin/python3 "$BATS_TEST_DIRNAME/../e2e/cloud-double.py" 169.254.169.254:80 "$LAB_DIR/mood"
	lab_wait 20 "the metadata service" curl -fsS http://169.254.169.254/latest/meta-data/instance-id
}

# What makes the machine an EC2 instance in the agent's eyes: options for vm_start.
# shellcheck disable=SC2034 # of the files that load this
VM_ON_EC2=(-smbios "type=1,manufacturer=Amazon EC2")
