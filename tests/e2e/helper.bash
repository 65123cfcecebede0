# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# helper - one laboratory per bats file: registry, control plane, agent, in this network namespace.
# Run through tests/run.sh e2e, or by hand: unshare --net --mount bats tests/e2e/tasks.bats

bats_require_minimum_version 1.5.0
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
LAB_BUILD=${ECS_BUILD_DIR:-$TOP/build/gcc}
LAB_AWS=$TOP/tests/aws-cli.py
LAB_AGENT_PREFIX=()
LAB_AGENT_ENV=()
LAB_CONTROLPLANE_ARGS=()
# shellcheck source=packaging/lab.sh
. "$TOP/packaging/lab.sh"

# What a file's setup_file() made, for its tests: they run in processes of their own.
[ -z "${LAB_DIR:-}" ] || CGROUP=/ecs-e2e-${LAB_DIR##*.}

lab_up() { # [agent settings ...]
	[ "$(readlink /proc/self/ns/net)" != "$(readlink /proc/1/ns/net)" ] ||
		lab_die "run this in a network namespace of its own: unshare --net --mount bats $BATS_TEST_FILENAME"
	ip link set lo up
	LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e.XXXXXX")
	export LAB_DIR
	CGROUP=/ecs-e2e-${LAB_DIR##*.}
	lab_start_registry "${LAB_REGISTRY_ADDR:-127.0.0.1:5000}"
	lab_make_small_image web:latest
	lab_start_controlplane "${LAB_CONTROLPLANE_ADDR:-127.0.0.1:8080}" --fault-injection \
		"${LAB_CONTROLPLANE_ARGS[@]}"
	lab_aws create-cluster --cluster-name lab >/dev/null
	lab_start_agent agent ECS_BRIDGE_SUBNET=172.31.240.0/24 "ECS_CGROUP_PARENT=$CGROUP" \
		ECS_CONTAINER_STOP_TIMEOUT=2s "$@"
	lab_wait 60 "the container instance to connect" lab_instance_connected lab
}

lab_down() {
	local name
	[ -n "${LAB_DIR:-}" ] || return 0
	stop_all_tasks || true
	for name in agent agent2 controlplane registry; do
		lab_stop "$name"
	done
	if [ -n "${LAB_KEEP:-}" ]; then
		echo "# kept $LAB_DIR" >&3
		return 0
	fi
	lab_forget_agent ecs0 "$CGROUP"
	rm -rf "$LAB_DIR"
}

# Logs of a failed test go into its report.
lab_report() {
	[ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	for name in agent controlplane; do
		echo "--- last lines of $name"
		tail -n 10 "$LAB_DIR/$name.log"
	done
}

# A task definition; "IMAGE" in the text becomes the small image's name: task_definition FAMILY CONTAINERS-JSON [more]
task_definition() {
	local json
	json=$(printf '{"family":"%s","containerDefinitions":%s%s}' "$1" "$2" "${3:+,$3}")
	printf '%s\n' "${json//IMAGE/$(cat "$LAB_DIR/registry.addr")\/web:latest}"
}
register() { # as task_definition
	lab_aws register-task-definition --cli-input-json "$(task_definition "$@")" >/dev/null
}

# With members that the AWS CLI of the distribution does not know: register_raw, as task_definition
register_raw() {
	lab_api RegisterTaskDefinition "$(task_definition "$@")" >/dev/null
}

# One container called "main", running a shell script: register_script FAMILY SCRIPT [container members]
register_script() {
	local script
	script=$(jq -Rs . <<<"$2")
	register "$1" "[{\"name\":\"main\",\"image\":\"IMAGE\",\"memory\":64,\"essential\":true,
		\"command\":[\"sh\",\"-c\",$script]${3:+,$3}}]"
}

run_task() { # family [run-task options]: prints the ARNs, one a line
	local family=$1
	shift
	lab_aws run-task --cluster "${CLUSTER:-lab}" --task-definition "$family" "$@" >"$LAB_DIR/run-task.json"
	jq -er '.failures == []' "$LAB_DIR/run-task.json" >/dev/null || {
		jq -c .failures "$LAB_DIR/run-task.json" >&2
		return 1
	}
	jq -r '.tasks[].taskArn' "$LAB_DIR/run-task.json"
}

describe() { # arn jq-filter
	lab_api DescribeTasks "{\"cluster\":\"lab\",\"tasks\":[\"$1\"]}" | jq -r ".tasks[0] | $2"
}

wait_running() { lab_aws wait tasks-running --cluster lab --tasks "$@"; }
wait_stopped() { lab_aws wait tasks-stopped --cluster lab --tasks "$@"; }

# The CLI's waiters look every 6 s; this looks more often: until_status ARN STATUS [SECONDS]
until_status() {
	lab_wait "${3:-20}" "task $1 to be $2" has_status "$1" "$2"
}
# What a slow machine looks at too late has been RUNNING all the same.
has_status() {
	local status
	status=$(describe "$1" '.lastStatus, (.startedAt != null)' | paste -sd' ')
	[ "${status% *}" = "$2" ] || [ "$2 true" = "RUNNING ${status#* }" ]
}

stop_task() {
	lab_api StopTask "$(jq -n --arg task "$1" --arg reason "${2:-test}" '{cluster: "lab", $task, $reason}')" >/dev/null
}

stop_all_tasks() {
	local arns arn
	arns=$(lab_api ListTasks '{"cluster":"lab"}' | jq -r '.taskArns[]')
	for arn in $arns; do
		stop_task "$arn"
	done
	for arn in $arns; do
		until_status "$arn" STOPPED 30
	done
}

# The pid on this host of a container's init: container_pid ARN CONTAINER
container_pid() {
	lab_ecsctl agent inspect "${1##*/}" --json | jq -r ".containers[] | select(.name == \"$2\") | .pid"
}

# How many processes live in the agent's cgroups.
processes_in_cgroups() {
	local hierarchy=/sys/fs/cgroup/pids
	[ -d "$hierarchy" ] || hierarchy=/sys/fs/cgroup
	find "$hierarchy$(lab_cgroup "$CGROUP")" -name cgroup.procs -exec cat {} + 2>/dev/null | wc -l
}

# Runs a command in the network of a task's container: in_task ARN COMMAND...
in_task() {
	local pid
	pid=$(container_pid "$1" main)
	shift
	nsenter "--net=/proc/$pid/ns/net" "$@"
}
# What answers on ports of a task's container, for as long as the container is there: answer_in ARN PORT[-PORT]...
answer_in() {
	local pid
	pid=$(container_pid "$1" main)
	shift
	lab_daemon "peer-$pid" nsenter "--net=/proc/$pid/ns/net" "$BATS_TEST_DIRNAME/peer.py" serve "$@"
}
