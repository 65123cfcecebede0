#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures the path from payload to RUNNING against bare `runc run` of the same bundle, in one run on one
# machine, and what agent and shims cost. Prints a Markdown table and never fails on a figure.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
	cat <<'TEXT'
usage: sudo tests/bench/launch.sh [--build DIR] [--tasks N] [--rounds N]

  --build DIR   programs to measure (default: build/bench, configured with -O2 and built when absent)
  --tasks N     size of the burst (default 100)
  --rounds N    single launches (default 20)
TEXT
}

LAB_BUILD=$top/build/bench tasks=100 rounds=20 args=("$@")
while [ $# -gt 0 ]; do
	case $1 in
	--build) LAB_BUILD=$(realpath -m "$2") && shift ;;
	--tasks) tasks=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
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
# As on a host, whose disk has a journal and whose /run is no disk. Without a journal ext4 looks at each inode that was
# freed lately before it gives one away, which costs a start some milliseconds where much was deleted.
truncate -s 4G "$LAB_DIR.img"
mkfs.ext4 -q "$LAB_DIR.img" && mount -o loop "$LAB_DIR.img" "$LAB_DIR" ||
	echo "no disk of its own for the laboratory: the figures depend on the one below $LAB_DIR" >&2
rm "$LAB_DIR.img"
for dir in agent/run runc-bare; do
	mkdir -p "$LAB_DIR/$dir"
	mount -t tmpfs -o mode=0700 tmpfs "$LAB_DIR/$dir"
done
LAB_AGENT_PREFIX=() LAB_AGENT_ENV=()
# shellcheck source=packaging/lab.sh
. "$top/packaging/lab.sh"
cgroup=/ecs-bench-${LAB_DIR##*.}
finish() {
	local status=$?
	set +e
	for name in agent controlplane registry; do
		lab_stop "$name"
	done
	lab_forget_agent ecs0 "$cgroup"
	find /sys/fs/cgroup -depth -path "*/ecs-bench-bare*" -type d -exec rmdir {} + 2>/dev/null
	if [ $status -ne 0 ]; then
		tail -n 20 "$LAB_DIR"/*.log >&2
	fi
	umount -l "$LAB_DIR" 2>/dev/null
	rm -rf "$LAB_DIR"
}
trap finish EXIT

# A runtime that keeps a copy of the bundle's config.json, so that bare runc can be given the same one.
cat >"$LAB_DIR/runc-keeping" <<SH
#!/bin/sh
for a in "\$@"; do
	[ "\$previous" = --bundle ] && cp "\$a/config.json" "$LAB_DIR/config.json" 2>/dev/null
	previous=\$a
done
exec $(command -v runc) "\$@"
SH
chmod +x "$LAB_DIR/runc-keeping"

lab_start_registry 127.0.0.1:5000
lab_make_small_image web:latest
lab_start_controlplane 127.0.0.1:8080
lab_aws create-cluster --cluster-name lab >/dev/null
lab_start_agent agent ECS_BRIDGE_SUBNET=172.31.240.0/22 "ECS_CGROUP_PARENT=$cgroup" ECS_LOGLEVEL=warn \
	"ECS_RUNC=$LAB_DIR/runc-keeping"
lab_wait 20 "the container instance to connect" lab_instance_connected lab
# A server that obeys SIGTERM; busybox httpd as the first process of its namespace would not.
cat >"$LAB_DIR/web.json" <<'JSON'
{"family": "web", "containerDefinitions": [{"name": "web", "image": "127.0.0.1:5000/web:latest",
  "memory": 16, "cpu": 4, "essential": true, "portMappings": [{"containerPort": 80, "hostPort": 0}],
  "command": ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"]}]}
JSON
lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/web.json" >/dev/null
arn=$(lab_aws run-task --cluster lab --task-definition web --query 'tasks[0].taskArn' --output text)
lab_aws wait tasks-running --cluster lab --tasks "$arn"
lab_aws stop-task --cluster lab --task "$arn" >/dev/null
lab_aws wait tasks-stopped --cluster lab --tasks "$arn"
lab_stop agent
sed -i '/^ECS_RUNC=/d' "$LAB_DIR/agent/env"
lab_resume_agent agent
lab_wait 20 "the container instance to connect" lab_instance_connected lab

exec 3>&1
/usr/bin/python3 "$top/tests/bench/launch.py" --lab "$LAB_DIR" --build "$LAB_BUILD" --tasks "$tasks" \
	--rounds "$rounds" --root "$(find "$LAB_DIR/agent/data/images/layers" -name www -path '*/www' -prune | head -n 1 | xargs dirname)"
