#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs short tasks one batch after the other and prints the agent's memory before, on the way and after:
# what grows with every task shows. Never fails on a figure.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
	cat <<'TEXT'
usage: sudo tests/bench/soak.sh [--build DIR] [--tasks N]

  --build DIR   programs to measure (default: build/bench, configured with -O2 and built when absent)
  --tasks N     tasks in all (default 500); ten at a time
TEXT
}

LAB_BUILD=$top/build/bench tasks=500 args=("$@")
while [ $# -gt 0 ]; do
	case $1 in
	--build) LAB_BUILD=$(realpath -m "$2") && shift ;;
	--tasks) tasks=$2 && shift ;;
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
LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-soak.XXXXXX")
LAB_AGENT_PREFIX=() LAB_AGENT_ENV=()
# shellcheck source=packaging/lab.sh
. "$top/packaging/lab.sh"
cgroup=/ecs-soak-${LAB_DIR##*.}
finish() {
	local status=$?
	set +e
	for name in agent controlplane registry; do
		lab_stop "$name"
	done
	lab_forget_agent ecs0 "$cgroup"
	[ $status -eq 0 ] || tail -n 20 "$LAB_DIR"/*.log >&2
	rm -rf "$LAB_DIR"
}
trap finish EXIT

lab_start_registry 127.0.0.1:5000
lab_make_small_image web:latest
lab_start_controlplane 127.0.0.1:8080
lab_aws create-cluster --cluster-name lab >/dev/null
# Tasks are cleaned up a second after their end: what a task leaves behind for an hour is no leak.
lab_start_agent agent ECS_BRIDGE_SUBNET=172.31.240.0/22 "ECS_CGROUP_PARENT=$cgroup" ECS_LOGLEVEL=warn \
	ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=1s
lab_wait 20 "the container instance to connect" lab_instance_connected lab
cat >"$LAB_DIR/short.json" <<'JSON'
{"family": "short", "containerDefinitions": [{"name": "short", "image": "127.0.0.1:5000/web:latest",
  "memory": 16, "cpu": 4, "essential": true, "portMappings": [{"containerPort": 80, "hostPort": 0}],
  "command": ["true"]}]}
JSON
lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/short.json" >/dev/null
exec 3>&1
/usr/bin/python3 "$top/tests/bench/soak.py" --lab "$LAB_DIR" --tasks "$tasks"
