#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host comes up before its settings are written and before its cluster is made: the agent counts as
# started, says in one line what it waits for, and goes on by itself.

load helper

setup_file() {
	ip link set lo up
	LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e.XXXXXX")
	export LAB_DIR CGROUP=/ecs-e2e-${LAB_DIR##*.}
	lab_start_controlplane 127.0.0.1:8080
}
teardown_file() { lab_down; }
teardown() { lab_report; }

told() { grep -q "$1" "$LAB_DIR/notify.log"; }

@test "settings late, written by hand, then a cluster late" {
	socat -u "UNIX-RECV:$LAB_DIR/notify" - >"$LAB_DIR/notify.log" 3>&- &
	echo $! >"$LAB_DIR/registry.pid" # one of the names lab_down ends
	lab_wait 60 "the supervisor" test -S "$LAB_DIR/notify"
	mkdir "$LAB_DIR/agent"
	# No region, no cluster, no metadata service.
	: >"$LAB_DIR/agent/ecs.config"
	lab_daemon agent env -i "PATH=$PATH" "NOTIFY_SOCKET=$LAB_DIR/notify" AWS_EC2_METADATA_DISABLED=true \
		"ECS_DATADIR=$LAB_DIR/agent/data" "ECS_RUN_DIR=$LAB_DIR/agent/run" "ECS_LIBEXEC_DIR=$LAB_BUILD" \
		ECS_BACKEND_HOST=http://127.0.0.1:8080 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local \
		ECS_BRIDGE_SUBNET=172.31.240.0/24 "ECS_CGROUP_PARENT=$CGROUP" \
		"$LAB_BUILD/ecs-agent" --config "$LAB_DIR/agent/ecs.config"
	lab_wait 60 "the agent to say that it is up" told READY=1
	lab_wait 60 "the agent to say what it waits for" told 'STATUS=Waiting for a region'
	pid=$(cat "$LAB_DIR/agent.pid")

	# As people write it: another system's line ends, export, quotes, spaces, a value twice.
	printf '# settings\r\nexport AWS_DEFAULT_REGION="us-west-2"\r\nECS_CLUSTER=early\r\n  ECS_CLUSTER = '"'late'"'\r\nnonsense\r\n' \
		>"$LAB_DIR/agent/new"
	mv "$LAB_DIR/agent/new" "$LAB_DIR/agent/ecs.config"
	lab_wait 60 "the agent to ask for the cluster" told 'STATUS=Waiting to register with cluster late: .*ClusterNotFound'
	grep -q "ecs.config:5: no '=' in this line" "$LAB_DIR/agent.log"
	run lab_ecsctl agent status
	[ "$status" -eq 1 ] && [[ $output == *"Waiting to register with cluster late"* ]]

	lab_aws create-cluster --cluster-name late >/dev/null
	lab_ecsctl agent status --wait 60
	lab_instance_connected late
	told 'STATUS=Connected to cluster late'
	[ "$(cat "$LAB_DIR/agent/run/agent.lock")" = "$pid" ] # the process the supervisor started, all along
}
