#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two container instances on one machine, in two network namespaces, under one control plane.

setup_file() {
	load helper
	ip link set lo up
	ip netns add "ecs-e2e-b-$$"
	export NETNS=ecs-e2e-b-$$
	ip link add e2e-a type veth peer name e2e-b netns "$NETNS"
	ip address add 10.199.0.1/24 dev e2e-a
	ip link set e2e-a up
	ip -n "$NETNS" address add 10.199.0.2/24 dev e2e-b
	ip -n "$NETNS" link set e2e-b up
	ip -n "$NETNS" link set lo up
	LAB_CONTROLPLANE_ADDR=10.199.0.1:8080 lab_up
	# The image comes from the first one's loopback registry: the second agent needs it beforehand.
	LAB_AGENT_PREFIX=(nsenter "--net=/run/netns/$NETNS") # not ip netns exec: that hides /sys/fs/cgroup
	lab_start_agent agent2 ECS_BRIDGE_SUBNET=172.31.241.0/24 "ECS_CGROUP_PARENT=$CGROUP-2" \
		ECS_BRIDGE_NAME=ecs1 ECS_IMAGE_PULL_BEHAVIOR=prefer-cached ECS_CONTAINER_STOP_TIMEOUT=2s
	skopeo copy --quiet --src-tls-verify=false docker://127.0.0.1:5000/web:latest \
		"docker-archive:$LAB_DIR/web.tar:127.0.0.1:5000/web:latest"
	lab_ecsctl agent2 image load "$LAB_DIR/web.tar"
	two_instances() {
		[ "$(lab_aws list-container-instances --cluster lab --query 'length(containerInstanceArns)')" = 2 ]
	}
	lab_wait 60 "two container instances" two_instances
}
teardown_file() {
	load helper
	lab_down
	ip netns delete "$NETNS"
	ip link show e2e-a >/dev/null 2>&1 && ip link delete e2e-a
	lab_forget_agent ecs1 "$CGROUP-2"
}
setup() { load helper; }
teardown() { lab_report; }

@test "tasks spread over both instances and each serves its own port" {
	register spread '[{"name":"web","image":"IMAGE","memory":32,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":0}]}]'
	mapfile -t arns < <(run_task spread --count 4 --placement-strategy type=spread,field=instanceId)
	[ ${#arns[@]} -eq 4 ]
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING; done
	instances=$(for arn in "${arns[@]}"; do describe "$arn" .containerInstanceArn; done | sort | uniq -c | awk '{print $1}' | xargs)
	[ "$instances" = "2 2" ]
	here=0 there=0
	for arn in "${arns[@]}"; do
		port=$(describe "$arn" '.containers[0].networkBindings[0].hostPort')
		if curl -fsS --max-time 2 "http://10.199.0.1:$port/" 2>/dev/null; then here=$((here + 1)); fi
		if curl -fsS --max-time 2 "http://10.199.0.2:$port/" 2>/dev/null; then there=$((there + 1)); fi
	done
	[ $here -ge 2 ] && [ $there -ge 2 ]
	stop_all_tasks
}

@test "a fixed host port is placed once per instance, and the third copy finds no room" {
	register one-each '[{"name":"web","image":"IMAGE","memory":32,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":8282}]}]'
	mapfile -t arns < <(run_task one-each --count 2)
	[ ${#arns[@]} -eq 2 ]
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING; done
	run lab_aws run-task --cluster lab --task-definition one-each
	[[ $output == *RESOURCE:PORTS* ]]
	stop_all_tasks
}

@test "killing one agent leaves the other one's tasks alone" {
	register_script stay 'trap "exit 0" TERM; while :; do sleep 0.2; done'
	mapfile -t arns < <(run_task stay --count 2 --placement-strategy type=spread,field=instanceId)
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING; done
	lab_stop agent KILL
	for arn in "${arns[@]}"; do [ "$(describe "$arn" .lastStatus)" = RUNNING ]; done
	[ "$(lab_ecsctl agent2 ps --json | jq '[.tasks[] | select(.lastStatus == "RUNNING")] | length')" -eq 1 ]
	lab_resume_agent agent
	stop_all_tasks
}
