#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One task after another through the AWS CLI: what ordinary task definitions do, and how they fail.

setup_file() {
	load helper
	lab_up
}
teardown_file() {
	load helper
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

@test "a task that exits 0 is reported with its exit code" {
	register_script zero 'echo out; echo err >&2; exit 0'
	arn=$(run_task zero)
	wait_stopped "$arn"
	[ "$(describe "$arn" '.containers[0].exitCode')" = 0 ]
	[ "$(describe "$arn" .stopCode)" = EssentialContainerExited ]
	run lab_ecsctl agent logs "${arn##*/}/main"
	[[ $output == *out* && $output == *err* ]]
}

@test "a task that exits 3 is reported with exit code 3" {
	register_script three 'exit 3'
	arn=$(run_task three)
	wait_stopped "$arn"
	[ "$(describe "$arn" '.containers[0].exitCode')" = 3 ]
}

@test "a process killed by a signal is reported as 128+n, and not as out of memory" {
	register_script killed 'sleep 300'
	arn=$(run_task killed)
	until_status "$arn" RUNNING
	kill -KILL "$(container_pid "$arn" main)"
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 137 ]
	[[ $(describe "$arn" '.containers[0].reason') != *OutOfMemory* ]]
}

@test "an image that does not exist stops the task with CannotPull…" {
	register missing-image '[{"name":"main","image":"127.0.0.1:5000/no/such:tag","memory":64,"essential":true}]'
	arn=$(run_task missing-image)
	until_status "$arn" STOPPED 60
	[[ $(describe "$arn" '.containers[0].reason') == CannotPull*Error:* ]]
	[ "$(describe "$arn" '.containers[0].exitCode')" = null ]
}

@test "a command that does not exist stops the task with CannotStartContainerError" {
	register missing-command '[{"name":"main","image":"IMAGE","memory":64,"essential":true,"command":["nope"]}]'
	arn=$(run_task missing-command)
	until_status "$arn" STOPPED
	reason=$(describe "$arn" '.containers[0].reason')
	[[ $reason == CannotStartContainerError:* && $reason == *nope* ]]
}

@test "a container that exceeds its memory is reported as OutOfMemoryError" {
	register_script oom 'x=$(dd if=/dev/zero bs=1M count=200 | tr "\0" x); echo survived' '"memory":32'
	arn=$(run_task oom)
	until_status "$arn" STOPPED
	[[ $(describe "$arn" '.containers[0].reason') == "OutOfMemoryError: Container killed due to memory usage" ]]
	[ "$(describe "$arn" '.containers[0].exitCode')" = 137 ]
}

@test "a web server gets a dynamic host port that answers, and stops when told" {
	register web '[{"name":"web","image":"IMAGE","memory":64,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":0}]}]'
	arn=$(run_task web)
	wait_running "$arn"
	port=$(describe "$arn" '.containers[0].networkBindings[0].hostPort')
	[ "$(describe "$arn" '.containers[0].networkBindings[0].bindIP')" = 0.0.0.0 ]
	[ "$(curl -fsS "http://127.0.0.1:$port/")" = "Hello from an ECS task." ]
	stop_task "$arn"
	wait_stopped "$arn"
	[ "$(describe "$arn" .stopCode)" = UserInitiated ]
	run ! curl -fsS --max-time 2 "http://127.0.0.1:$port/"
	[ "$(processes_in_cgroups)" -eq 0 ]
}

@test "a range of ports is told as a range, and each of its ports answers" {
	register range '[{"name":"web","image":"IMAGE","memory":64,"essential":true,
		"portMappings":[{"containerPortRange":"80-89"},{"containerPortRange":"90-92","protocol":"udp"}]}]'
	arn=$(run_task range)
	wait_running "$arn"
	range=$(describe "$arn" '.containers[0].networkBindings[] | select(.containerPortRange == "80-89") | .hostPortRange')
	[ $((${range#*-} - ${range%-*})) -eq 9 ]
	[ "$(curl -fsS "http://127.0.0.1:${range%-*}/")" = "Hello from an ECS task." ]
	range=$(describe "$arn" '.containers[0].networkBindings[] | select(.protocol == "udp") | .hostPortRange')
	[ $((${range#*-} - ${range%-*})) -eq 2 ]
	stop_task "$arn"
	wait_stopped "$arn"
}

@test "a process that ignores SIGTERM is killed after its stop timeout" {
	register_script stubborn 'trap "" TERM; while :; do sleep 0.1; done' '"stopTimeout":2'
	arn=$(run_task stubborn)
	until_status "$arn" RUNNING
	stop_task "$arn"
	until_status "$arn" STOPPED
	took=$(describe "$arn" '(.stoppedAt - .stoppingAt) * 1000 | floor') # as the control plane saw it
	[ "$took" -ge 1900 ] && [ "$took" -lt 8000 ]
	[ "$(describe "$arn" '.containers[0].exitCode')" = 137 ]
}

@test "two containers: the essential one's exit stops the other" {
	register pair '[
		{"name":"main","image":"IMAGE","memory":32,"essential":true,"command":["sh","-c","sleep '"$(lab_slow 2)"'; exit 7"]},
		{"name":"side","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","trap \"exit 9\" TERM; while :; do sleep 0.1; done"]}]'
	arn=$(run_task pair)
	until_status "$arn" RUNNING
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[] | select(.name == "main") | .exitCode')" = 7 ]
	[ "$(describe "$arn" '.containers[] | select(.name == "side") | .exitCode')" = 9 ]
}

@test "a non-essential container may exit and is reported while the task runs on" {
	register helper-exits '[
		{"name":"main","image":"IMAGE","memory":32,"essential":true,"command":["sleep","300"]},
		{"name":"init","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","sleep 1; exit 4"]}]'
	arn=$(run_task helper-exits)
	until_status "$arn" RUNNING
	init_exited() { [ "$(describe "$arn" '.containers[] | select(.name == "init") | .exitCode')" = 4 ]; }
	lab_wait 60 "the exit of init to be reported" init_exited
	[ "$(describe "$arn" .lastStatus)" = RUNNING ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "a fixed host port works, and when it is taken the task says so" {
	register fixed '[{"name":"web","image":"IMAGE","memory":32,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":8181}]}]'
	arn=$(run_task fixed)
	until_status "$arn" RUNNING
	[ "$(curl -fsS http://127.0.0.1:8181/)" = "Hello from an ECS task." ]
	stop_task "$arn"
	until_status "$arn" STOPPED
	busybox nc -l -p 8181 </dev/null >/dev/null 3>&- &
	listener=$!
	sleep 0.3
	arn=$(run_task fixed)
	until_status "$arn" STOPPED
	kill $listener
	reason=$(describe "$arn" '.containers[0].reason')
	[[ $reason == *8181* ]]
}

@test "environment, user, working directory, hostname and read-only root take effect" {
	register_script settings 'echo "$GREETING $(id -u):$(id -g) $(pwd) $(hostname)"; touch /x 2>/dev/null || echo read-only' \
		'"environment":[{"name":"GREETING","value":"hello world"}],"user":"www-data","workingDirectory":"/www",
		"hostname":"box","readonlyRootFilesystem":true'
	arn=$(run_task settings)
	until_status "$arn" STOPPED
	run lab_ecsctl agent logs "${arn##*/}/main"
	[[ $output == *"hello world 33:33 /www box"* ]]
	[[ $output == *read-only* ]]
}

@test "capabilities, ulimits and seccomp confine the process" {
	register_script confined 'ulimit -n; grep CapEff /proc/self/status; mount -t tmpfs x /tmp 2>&1; chown 33 /tmp 2>&1; grep Seccomp: /proc/self/status' \
		'"ulimits":[{"name":"nofile","softLimit":123,"hardLimit":456}],"linuxParameters":{"capabilities":{"drop":["CHOWN"]}}'
	arn=$(run_task confined)
	until_status "$arn" STOPPED
	run lab_ecsctl agent logs "${arn##*/}/main"
	[[ $output == *123* ]]
	[[ $output == *00000000a80425fa* ]] # Docker's default set a80425fb without CHOWN, bit 0
	[[ $output == *"Operation not permitted"* || $output == *"ermission denied"* ]]
	[[ $output == *$'Seccomp:\t2'* ]]
}

@test "an init process reaps orphans and passes the stop signal on" {
	register_script init '(sleep 0.1 &); sleep 1; grep -qs "^State:.Z" /proc/[0-9]*/status || echo "no zombies, I am $$"
		trap "exit 42" TERM; while :; do sleep 0.1; done' '"linuxParameters":{"initProcessEnabled":true}'
	arn=$(run_task init)
	until_status "$arn" RUNNING
	looked() { lab_ecsctl agent logs "${arn##*/}/main" | grep -q "no zombies, I am [^1]"; }
	lab_wait 60 "the script's word" looked
	stop_task "$arn"
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 42 ]
}

@test "what this build cannot do is refused by name" {
	register refused '[{"name":"main","image":"IMAGE","memory":32,"essential":true,
		"dockerSecurityOptions":["credentialspec:file://x"]}]'
	arn=$(run_task refused)
	until_status "$arn" STOPPED
	[[ $(describe "$arn" '.stoppedReason + (.containers[0].reason // "")') == *credentialspec* ]]
}

@test "what this agent does not advertise is not placed on it" {
	register unplaceable '[{"name":"main","image":"IMAGE","memory":32,"essential":true,
		"firelensConfiguration":{"type":"fluentbit"}}]'
	run -0 lab_aws run-task --cluster lab --task-definition unplaceable
	[ "$(jq -r '.failures[0].reason' <<<"$output")" = ATTRIBUTE ]
}

@test "fifty tasks at once all run, each on its own port" {
	register swarm '[{"name":"web","image":"IMAGE","memory":8,"cpu":10,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":0}]}]'
	arns=()
	for _ in 1 2 3 4 5; do
		mapfile -t -O ${#arns[@]} arns < <(run_task swarm --count 10)
	done
	[ ${#arns[@]} -eq 50 ]
	wait_running "${arns[@]}"
	ports=$(lab_aws describe-tasks --cluster lab --tasks "${arns[@]}" \
		--query 'tasks[].containers[].networkBindings[].[hostPort]' --output text | sort -u)
	[ "$(wc -l <<<"$ports")" -eq 50 ]
	for port in $ports; do
		[ "$(curl -fsS --max-time 30 "http://127.0.0.1:$port/")" = "Hello from an ECS task." ]
	done
	[ "$(lab_ecsctl agent ps --json | jq '[.tasks[] | select(.lastStatus == "RUNNING")] | length')" -eq 50 ]
	stop_all_tasks
	[ "$(processes_in_cgroups)" -eq 0 ]
}

@test "ecsctl logs -f follows through rotations, several between two looks, and through the agent's absence" {
	register_script chatty 'i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i + 1)); usleep 500; done' \
		'"logConfiguration":{"logDriver":"json-file","options":{"max-size":"4k","max-file":"200"}}'
	arn=$(run_task chatty)
	until_status "$arn" RUNNING
	lab_ecsctl agent logs -f "${arn##*/}/main" >"$LAB_DIR/followed" &
	follower=$!
	lab_stop agent KILL
	sleep 1.5
	lab_resume_agent agent
	until_status "$arn" STOPPED
	wait "$follower"
	seq -f 'line %.0f' 0 2999 | cmp - "$LAB_DIR/followed"
	[ "$(find "$LAB_DIR/agent/data/containers" -name '*-json.log.*' | wc -l)" -gt 20 ] # it did rotate
}

@test "metrics reach the control plane, Prometheus and ecsctl alike" {
	register_script busy 'while :; do :; done' '"cpu":64'
	arn=$(run_task busy)
	until_status "$arn" RUNNING
	# figures from the first moment on: who looks need not come back
	[ "$(lab_ecsctl agent stats --no-stream --json | jq '[.containers[] | select(.cpuPercent == null)] | length')" -eq 0 ]
	has_metrics() {
		curl -fsS http://127.0.0.1:8080/local/telemetry | grep -q "${arn##*/}"
	}
	lab_wait 60 "telemetry of the task" has_metrics
	curl -fsS http://127.0.0.1:51678/metrics | grep -q "${arn##*/}"
	[ "$(lab_ecsctl agent stats --no-stream --json | jq '[.containers[] | select(.cpuPercent > 5)] | length')" -ge 1 ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "ecsctl exec runs a command in a container, with its environment, and passes on how it ended" {
	register_script guest 'trap "exit 0" TERM; while :; do sleep 0.1; done' '"environment":[{"name":"COLOUR","value":"green"}]'
	arn=$(run_task guest)
	until_status "$arn" RUNNING
	run lab_ecsctl agent exec -T "${arn##*/}/main" sh -c 'echo "$COLOUR $1"; exit 9' - --json
	[ "$status" -eq 9 ] && [ "$output" = "green --json" ]
	run lab_ecsctl agent exec -T --user 1:1 "${arn##*/}" id -u
	[ "$status" -eq 0 ] && [ "$output" = 1 ]
	run lab_ecsctl agent exec -T "${arn##*/}/other" true
	[ "$status" -eq 1 ] && [[ $output == *"no such container"* ]]
	stop_task "$arn"
	until_status "$arn" STOPPED
	run lab_ecsctl agent exec -T "${arn##*/}" true
	[ "$status" -eq 1 ] && [[ $output == *"does not run"* ]]
}
