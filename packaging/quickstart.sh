#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a checkout to running ECS tasks on this machine: see usage below.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD

usage() {
	cat <<'TEXT'
usage: sudo packaging/quickstart.sh [--small] [--keep] [--no-install] [--build DIR]

Installs what is needed, builds, puts an image into a registry on 127.0.0.1, starts ecs-controlplane and
ecs-agent, runs three copies of a web server with dynamic host ports through the AWS CLI, fetches their
pages, shows ecsctl, and takes everything down again.

  --small       busybox httpd instead of nginx in a Debian root
  --keep        leave everything running, and print how to look at it and how to end it
  --no-install  do not call packaging/install-deps.sh first
  --build DIR   use the programs built in DIR instead of building
TEXT
}

small='' keep='' install=1 build=
while [ $# -gt 0 ]; do
	case $1 in
	--small) small=1 ;;
	--keep) keep=1 ;;
	--no-install) install= ;;
	--build) build=$2 && shift ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
[ "$(id -u)" -eq 0 ] || { echo "quickstart: run as root: sudo $0" >&2 && exit 1; }

bridge=ecsqs0 subnet=172.31.240.0/24 cgroup=/ecs-quickstart
LAB_BUILD=${build:-$top/build/quickstart}
LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-quickstart.XXXXXX")
LAB_AGENT_PREFIX=() LAB_AGENT_ENV=("ECS_BRIDGE_NAME=$bridge" "ECS_BRIDGE_SUBNET=$subnet" "ECS_CGROUP_PARENT=$cgroup")
# shellcheck source=packaging/lab.sh
. packaging/lab.sh

step() { printf '\033[1m[%3d s] %s\033[0m\n' "$SECONDS" "$*"; }
[ -t 1 ] || step() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }

ip_forward=$(cat /proc/sys/net/ipv4/ip_forward)
tear_down() {
	local status=$? name
	trap - EXIT INT TERM
	set +e
	step "Taking everything down"
	if [ -s "$LAB_DIR/controlplane.addr" ] && lab_running agent; then
		for task in $(lab_aws list-tasks --cluster lab --query 'taskArns[]' --output text 2>/dev/null); do
			lab_aws stop-task --cluster lab --task "$task" --reason 'quickstart ends' >/dev/null
			stopping+=("$task")
		done
		[ ${#stopping[@]} -eq 0 ] || lab_aws wait tasks-stopped --cluster lab --tasks "${stopping[@]}"
	fi
	for name in agent controlplane registry; do
		lab_stop "$name"
	done
	lab_forget_agent "$bridge" "$cgroup"
	echo "$ip_forward" >/proc/sys/net/ipv4/ip_forward
	if [ $status -ne 0 ]; then
		echo "quickstart failed; the last lines of its logs:" >&2
		for name in agent controlplane registry; do
			[ -s "$LAB_DIR/$name.log" ] && printf -- '--- %s\n' "$name" >&2 && tail -n 15 "$LAB_DIR/$name.log" >&2
		done
	fi
	rm -rf "$LAB_DIR"
	[ $status -ne 0 ] || step "Done, nothing is left behind"
	exit $status
}
stopping=()
trap tear_down EXIT
trap 'exit 130' INT TERM

if [ -n "$install" ]; then
	step "Installing what is needed"
	packaging/install-deps.sh --build --run
fi
if [ -z "$build" ]; then
	step "Building"
	{
		[ -x configure ] || ./autogen.sh
		mkdir -p "$LAB_BUILD"
		cd "$LAB_BUILD"
		[ -s Makefile ] || "$top/configure" -q
		make -s -j"$(nproc)"
		cd "$top"
	} >"$LAB_DIR/build.log" 2>&1 || { tail -n 40 "$LAB_DIR/build.log" >&2 && exit 1; }
fi

step "Starting a registry and pushing an image"
lab_start_registry "127.0.0.1:$(lab_free_port)"
if [ -n "$small" ]; then
	lab_make_small_image web:latest
else
	lab_make_nginx_image web:latest
fi
step "Starting ecs-controlplane and ecs-agent"
lab_start_controlplane "127.0.0.1:$(lab_free_port)"
lab_aws create-cluster --cluster-name lab --query cluster.clusterArn --output text
lab_start_agent agent
lab_wait 20 "the container instance to connect" lab_instance_connected lab

step "Registering a task definition and running three copies of it"
cat >"$LAB_DIR/web.json" <<JSON
{
  "family": "web",
  "networkMode": "bridge",
  "containerDefinitions": [{
    "name": "web", "image": "$(cat "$LAB_DIR/registry.addr")/web:latest", "essential": true,
    "cpu": 64, "memory": 128, "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
    "linuxParameters": {"initProcessEnabled": true}
  }]
}
JSON
lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/web.json" \
	--query taskDefinition.taskDefinitionArn --output text
mapfile -t tasks < <(lab_aws run-task --cluster lab --task-definition web --count 3 --query 'tasks[].[taskArn]' --output text)
[ ${#tasks[@]} -eq 3 ] || lab_die "run-task started ${#tasks[@]} of 3 tasks"
lab_aws wait tasks-running --cluster lab --tasks "${tasks[@]}"

step "Fetching each page on its own dynamic port"
mapfile -t ports < <(lab_aws describe-tasks --cluster lab --tasks "${tasks[@]}" \
	--query 'tasks[].containers[].networkBindings[].[hostPort]' --output text)
[ ${#ports[@]} -eq 3 ] || lab_die "three tasks have ${#ports[@]} host ports"
for port in "${ports[@]}"; do
	printf '  http://127.0.0.1:%s/ -> ' "$port"
	curl -fsS --retry 10 --retry-connrefused --retry-delay 1 --max-time 10 "http://127.0.0.1:$port/"
done

step "What the agent sees"
lab_ecsctl agent ps
lab_ecsctl agent stats --no-stream

if [ -n "$keep" ]; then
	trap - EXIT INT TERM
	cat <<TEXT

Everything is still running. In another shell:
  aws --endpoint-url http://$(cat "$LAB_DIR/controlplane.addr") ecs list-tasks --cluster lab
  $LAB_BUILD/ecsctl --socket $LAB_DIR/agent/run/agent.sock ps
To end it: stop the tasks with 'aws ecs stop-task', then
  kill $(cat "$LAB_DIR/agent.pid") $(cat "$LAB_DIR/controlplane.pid") $(cat "$LAB_DIR/registry.pid")
  ip link delete $bridge; nft delete table inet ecs; nft delete table bridge ecs
  ip route flush to 169.254.170.2 dev lo; rm -rf $LAB_DIR
TEXT
fi
