#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the task server does with a host full of tasks: requests per second and latency of credentials, task
# metadata and statistics, asked for by several tasks at a time, and by one while another floods the server.
# Prints a Markdown table and never fails on a figure.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
	cat <<'TEXT'
usage: sudo tests/bench/metadata.sh [--build DIR] [--tasks N] [--askers N] [--seconds N]

  --build DIR    programs to measure (default: build/bench, configured with -O2 and built when absent)
  --tasks N      tasks on the host (default 100)
  --askers N     how many of them ask at a time, each over two connections (default 16)
  --seconds N    per row (default 5)
TEXT
}

LAB_BUILD=$top/build/bench tasks=100 askers=16 seconds=5 args=("$@")
while [ $# -gt 0 ]; do
	case $1 in
	--build) LAB_BUILD=$(realpath -m "$2") && shift ;;
	--tasks) tasks=$2 && shift ;;
	--askers) askers=$2 && shift ;;
	--seconds) seconds=$2 && shift ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
if [ -z "${ECS_BENCH_INSIDE:-}" ]; then # namespaces of our own: ports and bridges disturb nobody
	ECS_BENCH_INSIDE=1 exec unshare --net --mount "$0" "${args[@]}"
fi
if [ ! -x "$LAB_BUILD/ecs-agent" ]; then
	echo "building in $LAB_BUILD" >&2
	[ -x "$top/configure" ] || "$top/autogen.sh" >/dev/null 2>&1
	mkdir -p "$LAB_BUILD"
	(cd "$LAB_BUILD" && "$top/configure" -q && make -s -j"$(nproc)") >&2
fi

ip link set lo up
LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-bench.XXXXXX")
LAB_AGENT_PREFIX=() LAB_AGENT_ENV=()
# shellcheck source=packaging/lab.sh
. "$top/packaging/lab.sh"
cgroup=/ecs-bench-${LAB_DIR##*.}
finish() {
	local status=$? name arn
	set +e
	[ $status -eq 0 ] || tail -n 20 "$LAB_DIR"/*.log >&2
	for arn in $(lab_aws list-tasks --cluster lab --query 'taskArns[]' --output text); do
		lab_ecsctl agent stop "${arn##*/}" >/dev/null 2>&1
	done
	lab_wait 60 "all tasks to stop" none_is_running >&2
	for name in agent controlplane registry; do
		lab_stop "$name"
	done
	lab_forget_agent ecs0 "$cgroup"
	rm -rf "$LAB_DIR"
}
trap finish EXIT
running() { lab_ecsctl agent ps --json 2>/dev/null | jq '[.. | .pid? // empty] | length'; }
none_is_running() { [ "$(running)" = 0 ]; }
all_are_running() { [ "$(running)" = "$tasks" ]; }

lab_start_registry 127.0.0.1:5000
lab_make_small_image web:latest
lab_start_controlplane 127.0.0.1:8080
lab_aws create-cluster --cluster-name lab >/dev/null
lab_start_agent agent ECS_BRIDGE_SUBNET=172.31.240.0/22 "ECS_CGROUP_PARENT=$cgroup" ECS_LOGLEVEL=warn
lab_wait 30 "the container instance to connect" lab_instance_connected lab
cat >"$LAB_DIR/idle.json" <<'JSON'
{"family": "idle", "taskRoleArn": "arn:aws:iam::123456789012:role/app", "containerDefinitions": [{"name": "main",
  "image": "127.0.0.1:5000/web:latest", "memory": 8, "cpu": 1, "essential": true,
  "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]}]}
JSON
lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/idle.json" >/dev/null
for ((n = tasks; n > 0; n -= 10)); do
	lab_aws run-task --cluster lab --task-definition idle --count $((n < 10 ? n : 10)) >/dev/null
done
lab_wait 180 "$tasks tasks to run" all_are_running
sleep 25 # two samples of each
mapfile -t pids < <(lab_ecsctl agent ps --json | jq '.. | .pid? // empty')

# In the network of a container, with what its environment says: in_task PID CONNECTIONS SECONDS PATH
in_task() {
	local base env
	mapfile -d '' -t env <"/proc/$1/environ"
	base=$(printf '%s\n' "${env[@]}" | sed -n 's/^ECS_CONTAINER_METADATA_URI_V4=//p')
	[ "$4" != credentials ] ||
		base=http://169.254.170.2$(printf '%s\n' "${env[@]}" | sed -n 's/^AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=//p')
	nsenter --net="/proc/$1/ns/net" ab -q -k -c "$2" -t "$3" -n 10000000 "$base${4#credentials}"
}
cpu_ms() { awk '{ print ($14 + $15) * 10 }' "/proc/$(cat "$LAB_DIR/agent.pid")/stat"; }
requests() { cat "$@" | awk '/^Complete requests/ { n += $3 } END { print n }'; }
worst() { awk -v p="$1" '$1 == p { if ($2 > n) n = $2 } END { print n + 0 }' "${@:2}"; }

echo "| $tasks tasks, $askers ask at a time | requests/s | p50 | p99, of the slowest | agent's CPU per request |"
echo "|---|---|---|---|---|"
for what in credentials /task /stats; do
	before=$(cpu_ms)
	for ((i = 0; i < askers; i++)); do
		in_task "${pids[i]}" 2 "$seconds" "$what" >"$LAB_DIR/ab.$i" 2>&1 &
		children[i]=$!
	done
	wait "${children[@]}"
	n=$(requests "$LAB_DIR"/ab.*)
	echo "| ${what/#\//v4 /} | $((n / seconds)) | $(worst 50% "$LAB_DIR"/ab.*) ms | $(worst 99% "$LAB_DIR"/ab.*) ms | $((($(cpu_ms) - before) * 1000 / n)) µs |"
	rm "$LAB_DIR"/ab.*
done
in_task "${pids[0]}" 1 "$seconds" /task >"$LAB_DIR/alone"
in_task "${pids[1]}" 60 $((seconds + 4)) /task >"$LAB_DIR/flood" 2>&1 &
flood=$!
sleep 2
in_task "${pids[0]}" 1 "$seconds" /task >"$LAB_DIR/beside"
wait "$flood"
echo
echo "One connection alone: p50 $(worst 50% "$LAB_DIR/alone") ms, p99 $(worst 99% "$LAB_DIR/alone") ms; beside a task that" \
	"floods the server over 60: p50 $(worst 50% "$LAB_DIR/beside") ms, p99 $(worst 99% "$LAB_DIR/beside") ms" \
	"(the flood: $(($(requests "$LAB_DIR/flood") / (seconds + 4))) requests/s)."
