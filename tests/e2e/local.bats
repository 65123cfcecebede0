#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tasks that people of the host start: without any control plane at first, then beside one, which never hears of them.

load helper

setup_file() {
	ip link set lo up
	LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e.XXXXXX")
	export LAB_DIR CGROUP=/ecs-e2e-${LAB_DIR##*.}
	lab_start_registry 127.0.0.1:5000
	lab_make_small_image web:latest
	echo 127.0.0.1:8080 >"$LAB_DIR/controlplane.addr"
	# No region, no cluster, no credentials, no metadata service.
	mkdir "$LAB_DIR/agent"
	: >"$LAB_DIR/agent/ecs.config"
	start_agent
}
teardown_file() {
	local task
	for task in $(lab_ecsctl agent ps -q); do
		lab_ecsctl agent stop --wait "$task"
	done
	for task in agent controlplane registry; do
		lab_stop "$task"
	done
	lab_forget_agent ecs0 "$CGROUP"
	[ -n "${LAB_KEEP:-}" ] || rm -rf "$LAB_DIR"
}
teardown() { lab_report 2>/dev/null; }

# A test must not hang because a task does.
lab_ecsctl() {
	local name=$1
	shift
	timeout 300 "$LAB_BUILD/ecsctl" --socket "$LAB_DIR/$name/run/agent.sock" "$@"
}

start_agent() {
	lab_daemon agent env -i "PATH=$PATH" AWS_EC2_METADATA_DISABLED=true "ECS_DATADIR=$LAB_DIR/agent/data" \
		"ECS_RUN_DIR=$LAB_DIR/agent/run" "ECS_LIBEXEC_DIR=$LAB_BUILD" ECS_BACKEND_HOST=http://127.0.0.1:8080 \
		AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local ECS_BRIDGE_SUBNET=172.31.240.0/24 \
		"ECS_CGROUP_PARENT=$CGROUP" ECS_CONTAINER_STOP_TIMEOUT=2s "$LAB_BUILD/ecs-agent" \
		--config "$LAB_DIR/agent/ecs.config"
	lab_wait 20 "the agent" lab_ecsctl agent version
}

# definition NAME CONTAINERS-JSON [more members]: writes it to a file and prints the name of that.
definition() {
	local json
	json=$(printf '{"family":"%s","containerDefinitions":%s%s}' "$1" "$2" "${3:+,$3}")
	printf '%s\n' "${json//IMAGE/127.0.0.1:5000\/web:latest}" >"$LAB_DIR/$1.json"
	echo "$LAB_DIR/$1.json"
}

@test "in the foreground: output to where it was written, and the exit code" {
	file=$(definition hello '[{"name":"main","image":"IMAGE","memory":32,"command":["sh","-c","echo out; echo err >&2; exit 7"]}]')
	run --separate-stderr lab_ecsctl agent run --rm "$file"
	[ "$status" -eq 7 ]
	[ "$output" = out ]
	[[ $stderr == *err* ]]
	lab_wait 10 "its record to be gone" no_task_of hello
}
no_task_of() { ! lab_ecsctl agent ps -a | grep -q "$1"; }

@test "the agent waits for a region all the while" {
	run lab_ecsctl agent status
	[ "$status" -eq 1 ] && [[ $output == *"Waiting for a region"* ]]
}

@test "command and variables replaced, the definition from standard input" {
	file=$(definition words '[{"name":"main","image":"IMAGE","memory":32,"environment":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}]')
	C=3 run --separate-stderr lab_ecsctl agent run --rm --env A=9 -e C --family other - -- \
		sh -c 'echo $A $B $C --json; echo "$ECS_CONTAINER_METADATA_URI_V4" | grep -c v4' <"$file"
	[ "$status" -eq 0 ]
	[ "$output" = $'9 2 3 --json\n1' ]
}

@test "several containers: prefixes, the essential one decides, options need a name" {
	file=$(definition two '[{"name":"a","image":"IMAGE","memory":32,"command":["sh","-c","echo from-a; sleep 1; exit 3"]},
		{"name":"b","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","echo from-b; exec sleep 100"]}]')
	run --separate-stderr lab_ecsctl agent run --rm "$file"
	[ "$status" -eq 3 ]
	[[ $output == *"a | from-a"* && $output == *"b | from-b"* ]]
	run lab_ecsctl agent run --env X=1 "$file"
	[ "$status" -eq 2 ] && [[ $output == *"--container"* ]]
	run --separate-stderr lab_ecsctl agent run --rm --container b --env X=5 "$file" -- sh -c 'echo x=$X; exec sleep 100'
	[ "$status" -eq 3 ] && [[ $output == *"b | x=5"* ]]
}

@test "detached: ports, ps, logs, stop, rm" {
	file=$(definition server '[{"name":"web","image":"IMAGE","memory":32,"portMappings":[{"containerPort":80,"hostPort":8099}]}]')
	run lab_ecsctl agent run -d --name server-1 "$file"
	[ "$status" -eq 0 ] && [ "$output" = server-1 ]
	lab_wait 20 "the page" curl -fs http://127.0.0.1:8099/
	lab_ecsctl agent ps | grep -q 'server-1 .*server:local .*0.0.0.0:8099->80/tcp'
	[ "$(lab_ecsctl agent inspect server-1 | jq -r .local)" = true ]
	run lab_ecsctl agent run -d --name server-1 "$file"
	[ "$status" -eq 1 ] && [[ $output == *"is still there"* ]]
	# The port is taken for tasks of any kind: the second one waits for it, says so, and can be stopped.
	"$LAB_BUILD/ecsctl" --socket "$LAB_DIR/agent/run/agent.sock" run --rm "$file" >"$LAB_DIR/second" 2>&1 3>&- &
	second=$!
	lab_wait 20 "it to say what it waits for" grep -q 'the task waits for.*8099' "$LAB_DIR/second"
	kill $second
	wait $second || true
	run lab_ecsctl agent rm server-1
	[ "$status" -eq 1 ] && [[ $output == *"has not stopped"* ]]
	lab_ecsctl agent stop --wait server-1
	! curl -fs http://127.0.0.1:8099/
	lab_ecsctl agent rm server-1
	lab_wait 10 "its record to be gone" no_task_of server-1
}

@test "what makes no sense here is refused by name, and nothing is kept" {
	file=$(definition bad '[{"name":"m","image":"IMAGE","memory":32,"secrets":[{"name":"S","valueFrom":"x"}]}]')
	run lab_ecsctl agent run -d "$file"
	[ "$status" -eq 1 ] && [[ $output == *"containerDefinitions: [0]: secrets: its value is fetched with a role"* ]]
	run lab_ecsctl agent run --rm --ignore secrets "$file" -- true
	[ "$status" -eq 0 ]
	file=$(definition bad '[{"name":"m","image":"IMAGE","memory":32}]' '"taskRoleArn":"arn:aws:iam::1:role/x"')
	run lab_ecsctl agent run "$file"
	[ "$status" -eq 125 ] && [[ $output == *"taskRoleArn: only a control plane can give a role"* ]]
	file=$(definition bad '[{"name":"m","image":"IMAGE","memory":32,"linuxParameters":{"devices":[{"hostPath":"/dev/null","permissions":["eat"]}]}}]')
	run lab_ecsctl agent run -d "$file"
	[ "$status" -eq 1 ] && [[ $output == *"linuxParameters: devices: [0]: permissions[0]: 'eat'"* ]]
	file=$(definition bad '[{"name":"m","image":"IMAGE","memory":32,"imagee":"x"}]')
	run lab_ecsctl agent run -d "$file"
	[ "$status" -eq 1 ] && [[ $output == *"imagee: there is no such parameter"* ]]
	no_task_of bad
}

@test "Ctrl-C stops it with its signal" {
	file=$(definition trap '[{"name":"m","image":"IMAGE","memory":32,"command":["sh","-c","trap \"echo bye; exit 5\" TERM; echo up; while :; do sleep 0.1; done"]}]')
	"$LAB_BUILD/ecsctl" --socket "$LAB_DIR/agent/run/agent.sock" run --rm "$file" >"$LAB_DIR/trap.out" 2>"$LAB_DIR/trap.err" 3>&- &
	pid=$!
	lab_wait 20 "it to come up" grep -q up "$LAB_DIR/trap.out"
	kill -TERM "$pid"
	code=0
	wait "$pid" || code=$?
	[ "$code" -eq 5 ]
	grep -q bye "$LAB_DIR/trap.out"
	grep -q 'stopping the task' "$LAB_DIR/trap.err"
}

@test "exec: a terminal that changes its size, Ctrl-C, exit codes, standard input" {
	local on_terminal=("$BATS_TEST_DIRNAME/terminal.py" "$LAB_BUILD/ecsctl" --socket "$LAB_DIR/agent/run/agent.sock" exec)
	file=$(definition guest '[{"name":"m","image":"IMAGE","memory":32,"command":["sleep","1000"]}]')
	lab_ecsctl agent run -d --name guest "$file"
	lab_wait 20 "it to run" is_up guest

	run "${on_terminal[@]}" -t guest sh -c 'tty; stty size; trap "stty size; exit 3" WINCH; echo resize; while :; do sleep 0.1; done'
	echo "$output"
	[ "$status" -eq 3 ]
	[[ ${lines[0]} == /dev/* && ${lines[1]} = "30 90" && ${lines[-1]} = "41 123" ]]
	run "${on_terminal[@]}" guest sh -c 'trap "echo caught; exit 4" INT; echo interrupt; while :; do sleep 0.1; done'
	[ "$status" -eq 4 ] && [[ ${lines[-1]} == *caught ]] # a terminal without being asked for: standard input is one
	run "${on_terminal[@]}" -T guest sh -c '[ -t 1 ] && stty size; exit 0'
	[ "$status" -eq 0 ]

	# The runtime sets the size once the process runs, which is late for one that asks at once: it is told beforehand.
	printf '#!/bin/sh\ncat "$5"\n' >"$LAB_DIR/tells-process" && chmod +x "$LAB_DIR/tells-process"
	[ "$(ECS_RUNC=$LAB_DIR/tells-process "${on_terminal[@]}" -t guest true | jq -c .consoleSize)" = '{"height":30,"width":90}' ]
	[ "$(ECS_RUNC=$LAB_DIR/tells-process "${on_terminal[@]}" -T guest true | jq -c .consoleSize)" = null ]

	local code
	for code in 0 1 127; do
		run "-$code" lab_ecsctl agent exec -T guest sh -c "exit $code"
	done
	run lab_ecsctl agent exec -T guest sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	run "${on_terminal[@]}" -t guest sh -c 'kill -15 $$'
	[ "$status" -eq 143 ]
	run lab_ecsctl agent exec -T guest no-such-program
	[ "$status" -ne 0 ] && [[ $output == *no-such-program* ]]
	run lab_ecsctl agent exec -T --user root guest true
	[ "$status" -eq 2 ] && [[ $output == *"UID[:GID]"* ]]
	[ "$(lab_ecsctl agent exec -T --user 5:6 guest sh -c 'id -u; id -g')" = $'5\n6' ]
	[ "$(lab_ecsctl agent exec -T --user 2147483647:2147483646 guest sh -c 'id -u; id -g')" = $'2147483647\n2147483646' ]
	for user in 2147483648 1: :1 1:2:3 99999999999999999999; do
		run lab_ecsctl agent exec -T --user $user guest true
		[ "$status" -eq 2 ] && [[ $output == *"--user wants numbers"* ]]
	done
	seq 20000 >"$LAB_DIR/in"
	lab_ecsctl agent exec guest cat <"$LAB_DIR/in" | cmp - "$LAB_DIR/in"
	lab_ecsctl agent stop --wait guest
	lab_ecsctl agent rm guest
}

@test "ps --filter, logs --since --until --tail, events --since" {
	file=$(definition teller '[{"name":"m","image":"IMAGE","memory":32,"command":["sh","-c","echo one; sleep 4; echo two; echo three; exec sleep 1000"]}]')
	lab_ecsctl agent run -d --name teller "$file"
	lab_wait 20 "all lines" all_told
	[ "$(lab_ecsctl agent ps -q --filter family=teller)" = teller ]
	[ "$(lab_ecsctl agent ps -q --filter name=m --filter family=teller --filter status=running)" = teller ]
	[ "$(lab_ecsctl agent ps -q --filter local=true --filter family=teller)" = teller ]
	[ -z "$(lab_ecsctl agent ps -q --filter family=tell)" ]
	[ -z "$(lab_ecsctl agent ps -q --filter family=teller --filter name=x)" ]
	run lab_ecsctl agent ps --filter colour=red
	[ "$status" -eq 2 ] && [[ $output == *"filters are family="* ]]

	[ "$(lab_ecsctl agent logs --tail 2 teller)" = $'two\nthree' ]
	[ -z "$(lab_ecsctl agent logs --tail 0 teller)" ]
	# Between the first line and the second: 2 s after the first, by its own time.
	between=$(date -u -d "$(lab_ecsctl agent logs -t --tail 3 teller | head -n 1 | cut -d' ' -f1) + 2 seconds" +%Y-%m-%dT%H:%M:%SZ)
	[ "$(lab_ecsctl agent logs --since "$between" teller)" = $'two\nthree' ]
	[ "$(lab_ecsctl agent logs --until "$between" teller)" = one ]
	[ -z "$(lab_ecsctl agent logs --since "$between" --until "$between" teller)" ]
	[ "$(lab_ecsctl agent logs --since 1h teller)" = $'one\ntwo\nthree' ]
	run lab_ecsctl agent logs --since yesterday teller
	[ "$status" -eq 2 ] && [[ $output == *--since* ]]

	lab_ecsctl agent events --since 1h | grep -q teller
	sleep 2
	now=$(date +%s)
	lab_ecsctl agent stop --wait teller
	lab_ecsctl agent events --since "$now" >"$LAB_DIR/events"
	grep -q teller "$LAB_DIR/events"
	[ "$(wc -l <"$LAB_DIR/events")" -lt "$(lab_ecsctl agent events | wc -l)" ]
	[ -z "$(lab_ecsctl agent events --since $((now + 3600)))" ]
	lab_ecsctl agent rm teller
}
all_told() { [ "$(lab_ecsctl agent logs teller | wc -l)" -eq 3 ]; }

@test "it outlives the agent, and a control plane never hears of it" {
	file=$(definition quiet '[{"name":"m","image":"IMAGE","memory":32,"command":["sleep","1000"],
		"healthCheck":{"command":["CMD-SHELL","true"],"interval":1}}]')
	lab_ecsctl agent run -d --name quiet "$file"
	lab_wait 20 "it to run" is_up quiet
	before=$(lab_ecsctl agent inspect quiet | jq '.containers[0].pid')
	lab_stop agent KILL
	lab_start_controlplane 127.0.0.1:8080 --fault-injection
	lab_aws create-cluster --cluster-name lab >/dev/null
	printf 'AWS_DEFAULT_REGION=us-west-2\nECS_CLUSTER=lab\n' >"$LAB_DIR/agent/ecs.config"
	start_agent
	lab_ecsctl agent status --wait 60
	[ "$(lab_ecsctl agent inspect quiet | jq '.containers[0].pid')" = "$before" ]

	# One of the service's beside it, so that lists of tasks are sent and telemetry has something to say.
	register_script mine 'exec sleep 1000'
	arn=$(run_task mine)
	until_status "$arn" RUNNING
	lab_ecsctl agent stop --wait quiet
	stop_task "$arn"
	until_status "$arn" STOPPED
	[ "$(lab_ecsctl agent status --json | jq .undelivered)" -eq 0 ]
	[ "$(lab_aws list-tasks --cluster lab --desired-status STOPPED | jq '.taskArns | length')" -eq 1 ]
	! grep -q quiet "$LAB_DIR/controlplane.log"
	run lab_ecsctl agent rm "${arn##*/}"
	[ "$status" -eq 1 ] && [[ $output == *"is the service's"* ]]
}
is_up() { lab_ecsctl agent ps | grep -q "$1 .* Up"; }
