#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host's life with cgroup v2: set up by user data, used, upgraded, hurt, rebooted, cut off, cleaned. The tests are
# in this order and build on each other.
# shellcheck disable=SC2016,SC2034 # the machine's shell expands; helper.bash looks at CLUSTER

load helper
CLUSTER=lab

setup_file() {
	beside_up
	vm_disk "$VM_IMAGE"
	cp "$VM_PACKAGE" "$LAB_DIR/seed/agent.deb"
	cp "$VM_PACKAGE_NEWER" "$LAB_DIR/seed/newer.deb"
	skopeo copy --quiet --src-tls-verify=false docker://127.0.0.1:5000/web:latest \
		"docker-archive:$LAB_DIR/seed/image.tar:example.net/loaded:1"
	cat >"$LAB_DIR/seed/user-data" <<-'TEXT'
		#!/bin/sh
		mount -o ro LABEL=CIDATA /mnt && dpkg -i /mnt/agent.deb || exit
		echo ECS_CLUSTER=lab >>/etc/ecs/ecs.config
		echo ECS_BACKEND_HOST=http://10.0.2.2:8080 >>/etc/ecs/ecs.config
		echo AWS_DEFAULT_REGION=us-west-2 >>/etc/ecs/ecs.config
		echo AWS_ACCESS_KEY_ID=local >>/etc/ecs/ecs.config
		echo AWS_SECRET_ACCESS_KEY=local >>/etc/ecs/ecs.config
		echo ECS_IMAGE_PULL_BEHAVIOR=prefer-cached >>/etc/ecs/ecs.config
		systemctl start ecs
		echo "start returned $?" >/run/user-data-done
	TEXT
	lab_aws create-cluster --cluster-name lab >/dev/null
	# Obedient: says so by its status. The page tells which container it is.
	register_script web "hostname >/www/id; httpd -p 80 -h /www; trap 'exit 7' TERM; sleep 10000 & wait" \
		'"portMappings":[{"containerPort":80,"hostPort":0}]'
	register_script batch "trap 'exit 7' TERM; sleep 10000 & wait"
	register loaded '[{"name":"main","image":"example.net/loaded:1","memory":64,"essential":true,"stopTimeout":2}]'
	vm_start systemd.unified_cgroup_hierarchy=1
}
teardown_file() { beside_down; }
teardown() { vm_report; }

@test "user data installs the package and starts the agent; the start returns, cloud-init ends" {
	vm -t 300 'cloud-init status --wait'
	[ "$(vm 'cat /run/user-data-done')" = "start returned 0" ]
	[ "$(vm "dpkg-query -W -f '\${db:Status-Status}' ecs-agent")" = installed ]
	[ -z "$(vm 'dpkg --audit')" ]
	[ "$(vm 'stat -fc %T /sys/fs/cgroup')" = cgroup2fs ]
}

@test "the instance registers and connects; systemd and the doctor find nothing wrong" {
	vm "ecsctl status --wait $(lab_limit 60)"
	is_connected
	vm 'systemctl status ecs' | grep -q 'Status: "Connected to cluster lab'
	vm -t 120 'systemctl is-system-running --wait'
	# A laboratory without servers of time.
	odd=$(vm 'ecsctl doctor --host --json' | jq -r '.[] | select(.level != "ok") | "\(.check) \(.level)"')
	[ "$odd" = "time warn" ] || lab_die "the doctor does not like: $odd"
	vm 'ecsctl doctor'
}

@test "systemd understands the units that it runs, and they are no more exposed than the document says" {
	vm 'systemd-analyze verify --man=no ecs.service ecs-boot.service ecs-drain.service' >"$LAB_DIR/verify"
	run ! grep ecs "$LAB_DIR/verify"
	for unit in ecs ecs-boot ecs-drain; do
		is=$(vm "systemd-analyze security --no-pager $unit.service" | sed -n 's/.* exposure level for .*: \([0-9.]*\) .*/\1/p')
		said=$(sed -n "s/^| \`$unit.service\` | \([0-9.]*\) |.*/\1/p" "$TOP/docs/operating.md")
		[[ -n $is && -n $said ]] && ((10#${is/./} <= 10#${said/./})) ||
			lab_die "the document says '$said' of $unit, systemd '$is'"
	done
}

@test "tasks run, each below its task in systemd-cgls" {
	lab_aws create-service --cluster lab --service-name web --task-definition web --desired-count 2 >/dev/null
	run_task batch
	lab_wait 90 "the service's tasks to run" runs web 2
	lab_wait 90 "the tasks to run" runs batch 1
	vm 'systemd-cgls --no-pager -l /ecs-tasks.service' >"$LAB_DIR/cgls"
	for arn in $(tasks_of batch) $(tasks_of web); do
		grep -A 3 "${arn##*/}" "$LAB_DIR/cgls" | grep -q 'sh -c'
	done
	[ "$(container_pids | wc -l)" = 3 ]
	port=$(describe "$arn" '.containers[0].networkBindings[0].hostPort')
	[ -n "$(vm "busybox wget -qO- http://127.0.0.1:$port/id")" ]
}

@test "an image that came from an archive is run" {
	vm -t 120 'ecsctl image load /mnt/image.tar'
	local arn
	arn=$(run_task loaded)
	until_status "$arn" RUNNING 90
	stop_task "$arn"
	until_status "$arn" STOPPED 60
}

@test "the journal has what the agent says of a task by its field" {
	vm "journalctl -o json -u ecs TASK=$(tasks_of web | head -n 1) CONTAINER=main" >"$LAB_DIR/lines"
	head -n 1 "$LAB_DIR/lines" | jq -e .MESSAGE
}

@test "restart and daemon-reload leave containers" {
	containers_outlive 'systemctl daemon-reload; systemctl restart ecs'
	containers_outlive 'systemctl stop ecs; systemctl daemon-reexec; systemctl start ecs'
}

@test "an upgrade leaves containers, and the new program looks after them" {
	containers_outlive 'dpkg -i /mnt/newer.deb'
	vm '[ "$(readlink /proc/$(systemctl show -P MainPID ecs)/exe)" = /usr/sbin/ecs-agent ]'
	# What the old version's shims started is stopped by the new agent.
	arn=$(tasks_of web | head -n 1)
	stop_task "$arn"
	until_status "$arn" STOPPED 60
	[ "$(describe "$arn" '.containers[0].exitCode')" = 7 ]
	lab_wait 90 "the service to have another task in its place" runs web 2
	[ "$(vm 'cat /etc/ecs/ecs.config' | grep -c ECS_CLUSTER=lab)" = 1 ]
}

@test "an agent that is killed is started again" {
	containers_outlive 'kill -KILL $(systemctl show -P MainPID ecs); sleep 1; until systemctl -q is-active ecs; do sleep 0.5; done'
	[ "$(vm 'systemctl show -P NRestarts ecs')" = 1 ]
}

@test "an agent that stands still is ended by the watchdog and started again" {
	vm "mkdir -p /run/systemd/system/ecs.service.d
		printf '[Service]\nWatchdogSec=$(lab_slow 15)\n' >/run/systemd/system/ecs.service.d/sooner.conf
		systemctl daemon-reload; systemctl restart ecs"
	containers_outlive 'pid=$(systemctl show -P MainPID ecs); kill -STOP $pid
		while [ -e /proc/$pid ]; do sleep 0.5; done; until systemctl -q is-active ecs; do sleep 0.5; done'
	vm 'journalctl -b -u ecs' | grep -q 'Watchdog timeout'
}

@test "a reboot stops tasks with their signal, and tells; then the service's tasks come back" {
	mapfile -t tasks < <(tasks_of web && tasks_of batch)
	[ "${#tasks[@]}" = 3 ]
	ended=$(stopped_of web)
	vm 'touch /etc/cloud/cloud-init.disabled' # its part is over, and half of a boot is its
	vm 'systemctl --no-block reboot'
	lab_wait 60 "the instance to drain" is_draining
	# Reported before the network goes: it is known here while the machine is not back.
	for arn in "${tasks[@]}"; do
		until_status "$arn" STOPPED 90
	done
	[ "$(instances .status)" = DRAINING ]
	vm_await_boot
	for arn in "${tasks[@]}"; do
		[ "$(describe "$arn" '.containers[0].exitCode')" = 7 ]
		[[ $(describe "$arn" .stoppedReason) == *"container instance shuts down"* ]]
	done
	lab_wait 120 "the instance to be ACTIVE" is_connected
	lab_wait 120 "the service's tasks to run" runs web 2
	[ "$(container_pids | wc -l)" = 2 ]
	[ -z "$(tasks_of batch)" ] # belongs to no service
	# No replacement was started on the host that was going away.
	[ "$(stopped_of web)" = $((ended + 2)) ]
}

@test "power that fails amid starts loses and doubles nothing" {
	mapfile -t before < <(tasks_of web)
	[ "${#before[@]}" = 2 ]
	run_task batch --count 8 >"$LAB_DIR/burst"
	lab_wait 60 "the first of them to run" any_running
	vm_cut_power
	vm_start systemd.unified_cgroup_hierarchy=1
	lab_wait 120 "the instance to be connected" is_connected
	# What ran is STOPPED, what had not begun runs.
	for arn in "${before[@]}"; do
		until_status "$arn" STOPPED 90
	done
	lab_wait 120 "all tasks to be told of" burst_settled
	lab_wait 120 "the service's tasks to run" runs web 2
	vm 'ecsctl doctor'
	running=$(lab_api ListTasks '{"cluster":"lab"}' | jq '.taskArns | length')
	[ "$(container_pids | wc -l)" = "$running" ]
}

@test "purging leaves nothing" {
	mapfile -t tasks < <(tasks_of web && tasks_of batch)
	vm -t 180 'apt-get purge -y ecs-agent'
	for arn in "${tasks[@]}"; do # stopped as by a shutdown, and told
		[ "$(describe "$arn" '.containers[0] | "\(.lastStatus) \(.exitCode)"')" = "STOPPED 7" ]
	done
	left=$(vm 'ls -d /etc/ecs /var/lib/ecs /var/log/ecs /run/ecs /usr/libexec/ecs-agent; nft list tables | grep ecs
		ip link show ecs0; systemctl list-units --all --no-legend "ecs*"; systemctl list-unit-files --no-legend "ecs*"
		find /sys/fs/cgroup -name "ecs*"; find /etc /var/lib/systemd /lib/systemd -name "ecs*"; pgrep -a "ecs|runc"' 2>&1 |
		grep -v -e 'No such file' -e 'does not exist' || true)
	[ -z "$left" ] || lab_die "$left"
}

# How many tasks of a family have ended: the control plane keeps them for an hour.
stopped_of() { # family
	lab_api ListTasks "{\"cluster\":\"lab\",\"family\":\"$1\",\"desiredStatus\":\"STOPPED\"}" | jq '.taskArns | length'
}
any_running() {
	local arn
	while read -r arn; do
		[ "$(describe "$arn" .lastStatus)" != RUNNING ] || return 0
	done <"$LAB_DIR/burst"
	return 1
}
burst_settled() {
	local arn
	while read -r arn; do
		case $(describe "$arn" .lastStatus) in RUNNING | STOPPED) ;; *) return 1 ;; esac
	done <"$LAB_DIR/burst"
}
