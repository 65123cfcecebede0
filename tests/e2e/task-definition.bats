#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Fields of a task definition through the AWS CLI: given back as they were registered, and looked at
# from inside. Few containers, many fields each; docs/task-definition.md names what holds the others.

setup_file() {
	load helper
	lab_up ECS_ENABLE_TASK_CPU_MEM_LIMIT=true
}
teardown_file() {
	load helper
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

# What a failed script wrote comes into the report.
expect_exit() { # arn container code
	local code
	code=$(describe "$1" ".containers[] | select(.name == \"$2\") | .exitCode")
	[ "$code" = "$3" ] || {
		lab_ecsctl agent logs "${1##*/}/$2"
		describe "$1" '.stoppedReason, .containers'
		return 1
	}
}

@test "what a container asks for is given back as registered, and is so inside" {
	local script members
	script='set -ex
		has() { [ "$1" = "$2" ] || { echo "$1 is not $2"; exit 1; }; }
		s() { sed -n "s/^$1:.//p" /proc/self/status; }
		has "$(id -u):$(id -g)" 33:33
		has "$(pwd)" /made/here
		has "$(hostname)" box
		has "$GREETING" "hello = world"
		has "${EMPTY-unset}" ""
		grep -x "nameserver 192.0.2.53" /etc/resolv.conf
		grep -x "search a.test b.test" /etc/resolv.conf
		grep "^192.0.2.7.*database" /etc/hosts
		has "$(cat /proc/sys/net/core/somaxconn)" 99
		has "$(s NoNewPrivs)" 1
		has "$(s CapBnd)" 00000000a80435fa
		has "$(ulimit -n)" 123
		grep " /dev/shm tmpfs .*size=8192k" /proc/mounts
		grep " /run/t tmpfs .*size=3072k" /proc/mounts | grep -v noexec
		test -c /dev/log-of-kernel
		! touch /here
		! readlink /proc/self/fd/0 | grep null'
	members='"user":"www-data","workingDirectory":"/made/here","hostname":"box",
		"environment":[{"name":"GREETING","value":"hello = world"},{"name":"EMPTY","value":""}],
		"dnsServers":["192.0.2.53"],"dnsSearchDomains":["a.test","b.test"],
		"extraHosts":[{"hostname":"database","ipAddress":"192.0.2.7"}],
		"systemControls":[{"namespace":"net.core.somaxconn","value":"99"}],
		"dockerSecurityOptions":["no-new-privileges"],"interactive":true,
		"readonlyRootFilesystem":true,"dockerLabels":{"a":"b"},
		"ulimits":[{"name":"nofile","softLimit":123,"hardLimit":456}],
		"linuxParameters":{"capabilities":{"add":["NET_ADMIN"],"drop":["CHOWN"]},
			"sharedMemorySize":8,"maxSwap":0,"swappiness":10,
			"tmpfs":[{"containerPath":"/run/t","size":3,"mountOptions":["mode=1777","exec"]}],
			"devices":[{"hostPath":"/dev/kmsg","containerPath":"/dev/log-of-kernel","permissions":["read"]}]}'
	register_script everything "$script" "$members"
	lab_aws describe-task-definition --task-definition everything >"$LAB_DIR/given-back.json"
	jq -e --argjson asked "{$members}" \
		'.taskDefinition.containerDefinitions[0] | contains($asked)' "$LAB_DIR/given-back.json"
	arn=$(run_task everything)
	until_status "$arn" STOPPED 40
	expect_exit "$arn" main 0
}

@test "privileged containers see the host's devices, and swap is limited where that can be" {
	register_script powerful 'set -e
		test -c /dev/kmsg
		grep " /sys sysfs rw" /proc/mounts
		f=/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes
		[ ! -e $f ] || [ "$(cat $f)" = $((96 << 20)) ]
		grep "Seccomp:.0" /proc/self/status' \
		'"privileged":true,"linuxParameters":{"maxSwap":32}'
	arn=$(run_task powerful)
	until_status "$arn" STOPPED
	expect_exit "$arn" main 0
}

@test "linked containers find each other by name, and by Docker's variables" {
	register linked '[
		{"name":"web","image":"IMAGE","memory":32,"essential":true,"links":["store:data"],"command":["sh","-c",
			"i=0; while [ $i -lt 50 ]; do wget -qO- http://data/ && wget -qO- http://$DATA_PORT_80_TCP_ADDR/ && exit 5; i=$((i+1)); sleep 0.2; done"]},
		{"name":"store","image":"IMAGE","memory":32,"essential":false,"portMappings":[{"containerPort":80}]}]'
	arn=$(run_task linked)
	until_status "$arn" STOPPED 40
	expect_exit "$arn" web 5
}

@test "containers of a task share its pid and ipc namespaces, and nobody sees who holds them" {
	register sharing '[
		{"name":"one","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","echo 1 >/dev/shm/one; sleep 987654"]},
		{"name":"two","image":"IMAGE","memory":32,"essential":true,"command":["sh","-c",
			"until [ -e /dev/shm/one ] && grep -q 987654 /proc/*/cmdline; do sleep 0.1; done; [ -e /dev/shm/two ] || [ $$ != 1 ] && exit 6"]}]' \
		'"pidMode":"task","ipcMode":"task"'
	arn=$(run_task sharing)
	until_status "$arn" STOPPED 40
	expect_exit "$arn" two 6
	[ "$(describe "$arn" '.containers | length')" = 2 ]
	[ "$(lab_ecsctl agent inspect "${arn##*/}" --json | jq '.containers | length')" = 2 ]
	lab_aws describe-task-definition --task-definition sharing |
		jq -e '.taskDefinition | .pidMode == "task" and .ipcMode == "task"'
	[ "$(processes_in_cgroups)" -eq 0 ]
}

@test "the host's pid and ipc namespaces are joined when asked for, and none is none" {
	for mode in host none; do
		register "ipc-$mode" '[{"name":"main","image":"IMAGE","memory":32,"essential":true,"command":["sh","-c",
			"readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; ls -d /dev/shm"]}]' \
			"\"pidMode\":\"host\",\"ipcMode\":\"$mode\""
		arn=$(run_task "ipc-$mode")
		until_status "$arn" STOPPED
		run lab_ecsctl agent logs "${arn##*/}/main"
		[[ $output == *"$(readlink /proc/self/ns/pid)"* ]]
		if [ $mode = host ]; then
			[[ $output == *"$(readlink /proc/self/ns/ipc)"* && $output == */dev/shm* ]]
		else
			[[ $output != *"$(readlink /proc/self/ns/ipc)"* && $output != */dev/shm$'\n'* ]]
		fi
	done
}

@test "overrides replace command, environment and limits of this run alone" {
	register_script overridden 'exit 1' '"environment":[{"name":"A","value":"1"},{"name":"B","value":"1"}]'
	arn=$(run_task overridden --overrides '{"containerOverrides":[{"name":"main",
		"command":["sh","-c","[ $A$B$C = 123 ] && cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | grep -x $((48 << 20)) && exit 8"],
		"environment":[{"name":"B","value":"2"},{"name":"C","value":"3"}],"memory":48}]}')
	until_status "$arn" STOPPED
	expect_exit "$arn" main 8
}

@test "what a host cannot give is refused by name before anything runs" {
	register_script no-device 'true' '"linuxParameters":{"devices":[{"hostPath":"/dev/nope"}]}'
	register_script no-option 'true' '"linuxParameters":{"tmpfs":[{"containerPath":"/x","size":1,"mountOptions":["bind"]}]}'
	for row in "no-device:/dev/nope" "no-option:makes no sense for a new tmpfs"; do
		arn=$(run_task "${row%%:*}")
		until_status "$arn" STOPPED
		[[ $(describe "$arn" '.stoppedReason + (.containers[0].reason // "")') == *"${row#*:}"* ]]
	done
}
