#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host with cgroup v1, an EC2 instance for which everything is late: settings, metadata service, cluster. The tests
# are in this order and build on each other.
# shellcheck disable=SC2016,SC2034 # the machine's shell expands; helper.bash looks at CLUSTER

load helper
CLUSTER=lab

setup_file() {
	beside_up
	vm_disk "$VM_IMAGE_INSTALLED"
	# No region, no keys: they are the metadata service's to tell. And the agent is there before its settings.
	cat >"$LAB_DIR/seed/user-data" <<-'TEXT'
		#!/bin/sh
		systemctl start ecs
		echo ECS_CLUSTER=lab >>/etc/ecs/ecs.config
		echo ECS_BACKEND_HOST=http://10.0.2.2:8080 >>/etc/ecs/ecs.config
	TEXT
	register_script web "trap 'exit 7' TERM; sleep 10000 & wait" '"cpu":256'
	register_script greedy 'exec dd if=/dev/zero of=/dev/null bs=200M count=1'
	# Packets to it are lost, as where nothing is set up yet.
	ip addr add 169.254.169.254/32 dev lo
	nft 'table ip late { chain output { type filter hook output priority 0; ip daddr 169.254.169.254 drop; }; }'
	vm_start systemd.unified_cgroup_hierarchy=0 "${VM_ON_EC2[@]}"
}
teardown_file() { beside_down metadata; }
teardown() { vm_report; }

# One of the limits of the group that a container's first process is in: limit_of CONTROLLER FILE
limit_of() {
	local pid
	pid=$(container_pids | sed 's/.* //')
	vm "cat /sys/fs/cgroup/$1\$(sed -n 's/^[0-9]*:\([^:]*,\)*$1\(,[^:]*\)*://p' /proc/$pid/cgroup)/$2"
}

waits_for() { vm_wait "$1" "the agent to say what it waits for" "systemctl show -P StatusText ecs | grep '$2'"; }

@test "settings, metadata service and cluster are late, and waited for by one process" {
	vm -t 300 'cloud-init status --wait'
	waits_for 60 'Waiting for the instance metadata service'
	pid=$(vm 'systemctl show -P MainPID ecs')
	vm_wait 90 "a minute to pass" '[ $(cut -d. -f1 /proc/uptime) -ge 60 ]'
	nft delete table ip late
	metadata_up role
	waits_for 60 'Waiting to register with cluster lab: .*ClusterNotFoundException'
	lab_aws create-cluster --cluster-name lab >/dev/null
	lab_wait 60 "the instance to be connected" is_connected
	[ "$(instances .ec2InstanceId)" = i-0123456789abcdef0 ]
	[ "$(vm 'systemctl show -P MainPID ecs')" = "$pid" ]
}

@test "a task runs with its limits in the hierarchies of v1" {
	[ "$(vm 'stat -fc %T /sys/fs/cgroup /sys/fs/cgroup/memory' | paste -sd' ')" = "tmpfs cgroupfs" ]
	run_task web
	lab_wait 90 "the task to run" runs web 1
	[ "$(limit_of memory memory.limit_in_bytes)" = $((64 << 20)) ]
	[ "$(limit_of cpu cpu.shares)" = 256 ]
	vm "ecsctl stats --no-stream" | grep -q main
	vm 'ecsctl doctor'
}

@test "what takes more memory than its limit is killed, and nothing else" {
	local arn
	arn=$(run_task greedy)
	until_status "$arn" STOPPED 90
	[ "$(describe "$arn" '.containers[0] | "\(.exitCode) \(.reason)"')" = "137 OutOfMemoryError: Container killed due to memory usage" ]
	runs web 1
}

@test "restart and kill leave containers" {
	containers_outlive 'systemctl restart ecs'
	containers_outlive 'kill -KILL $(systemctl show -P MainPID ecs); sleep 1; until systemctl -q is-active ecs; do sleep 0.5; done'
}

@test "a host that is switched off stops its tasks with their signal, and tells" {
	local arn
	arn=$(tasks_of web)
	vm 'systemctl --no-block poweroff'
	until_status "$arn" STOPPED 90
	[ "$(describe "$arn" '.containers[0].exitCode')" = 7 ]
	is_draining
	vm_await_off 90
}
