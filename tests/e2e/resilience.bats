#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The agent and the control plane die, vanish and talk nonsense; tasks go on and nothing is lost or doubled.

setup_file() {
	load helper
	lab_up
	register_script sleeper 'trap "exit 0" TERM; while :; do sleep 0.2; done'
	register web '[{"name":"web","image":"IMAGE","memory":32,"essential":true,
		"portMappings":[{"containerPort":80,"hostPort":0}]}]'
}
teardown_file() {
	load helper
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

kill_agent() { lab_stop agent KILL; }

@test "a killed agent adopts its running tasks untouched" {
	arns=()
	mapfile -t arns < <(run_task web --count 3)
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING; done
	before=$(for arn in "${arns[@]}"; do container_pid "$arn" web; done)
	port=$(describe "${arns[0]}" '.containers[0].networkBindings[0].hostPort')
	kill_agent
	[ "$(curl -fsS "http://127.0.0.1:$port/")" = "Hello from an ECS task." ] # while nobody watches
	lab_resume_agent agent
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	after=$(for arn in "${arns[@]}"; do container_pid "$arn" web; done)
	[ -n "$before" ] && [ "$before" = "$after" ]
	[ "$(curl -fsS "http://127.0.0.1:$port/")" = "Hello from an ECS task." ]
	for arn in "${arns[@]}"; do
		[ "$(describe "$arn" .lastStatus)" = RUNNING ]
		stop_task "$arn"
	done
	for arn in "${arns[@]}"; do until_status "$arn" STOPPED; done
	run ! curl -fsS --max-time 2 "http://127.0.0.1:$port/"
}

@test "an exit while the agent is dead is reported by the next one" {
	register_script brief "sleep $(lab_slow 3); exit 5"
	arn=$(run_task brief)
	until_status "$arn" RUNNING
	kill_agent
	sleep "$(lab_slow 4)"
	lab_resume_agent agent
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 5 ]
}

@test "a stop asked for while the agent is dead is carried out by the next one" {
	arn=$(run_task sleeper)
	until_status "$arn" RUNNING
	kill_agent
	stop_task "$arn"
	lab_resume_agent agent
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 0 ]
}

@test "kill -9 in the middle of starting twenty tasks loses and doubles nothing" {
	arns=()
	mapfile -t arns < <(run_task sleeper --count 10; run_task sleeper --count 10)
	for _ in 1 2 3; do
		sleep 0.2
		kill_agent
		lab_resume_agent agent
	done
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING 60; done
	[ "$(lab_ecsctl agent ps --json | jq '[.tasks[] | select(.lastStatus == "RUNNING")] | length')" -eq 20 ]
	# one shell and its sleep each: two inits in one container's cgroup would show
	inits=$(for arn in "${arns[@]}"; do container_pid "$arn" main; done | sort -u | wc -l)
	[ "$inits" -eq 20 ]
	[ "$(processes_in_cgroups)" -le 40 ]
	stop_all_tasks
	[ "$(processes_in_cgroups)" -eq 0 ]
}

@test "tasks run on while the control plane is away for 20 s, and the exits are told afterwards" {
	register_script later "sleep $(lab_slow 8); exit 6"
	long=$(run_task sleeper)
	short=$(run_task later)
	until_status "$long" RUNNING
	until_status "$short" RUNNING
	pid=$(container_pid "$long" main)
	lab_stop controlplane KILL
	sleep "$(lab_slow 20)"
	kill -0 "$pid"
	lab_start_controlplane 127.0.0.1:8080 --fault-injection
	until_status "$short" STOPPED 60
	[ "$(describe "$short" '.containers[0].exitCode')" = 6 ]
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	[ "$(container_pid "$long" main)" = "$pid" ]
	stop_task "$long"
	until_status "$long" STOPPED
}

@test "a task that the control plane does not know any more is stopped, and no other" {
	restart_controlplane() { # with the state in directory $1
		lab_stop controlplane
		rm -rf "$LAB_DIR/controlplane" && cp -a "$1" "$LAB_DIR/controlplane"
		lab_start_controlplane 127.0.0.1:8080 --fault-injection
	}
	known=$(run_task sleeper)
	until_status "$known" RUNNING
	lab_stop controlplane
	cp -a "$LAB_DIR/controlplane" "$LAB_DIR/backup"
	lab_start_controlplane 127.0.0.1:8080 --fault-injection
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	unknown=$(run_task sleeper)
	until_status "$unknown" RUNNING
	pid=$(container_pid "$unknown" main)
	kept=$(container_pid "$known" main)
	restart_controlplane "$LAB_DIR/backup"
	is_gone() { ! kill -0 "$pid" 2>/dev/null; }
	lab_wait 90 "the forgotten task to be stopped" is_gone
	kill -0 "$kept"
	[ "$(container_pid "$known" main)" = "$kept" ]
	stop_task "$known"
	until_status "$known" STOPPED
}

@test "garbage ACS frames neither end the agent nor its tasks" {
	arn=$(run_task sleeper)
	until_status "$arn" RUNNING
	agent=$(cat "$LAB_DIR/agent.pid")
	for frame in 'not json' '{}' '[]' '{"type":"PayloadMessage"}' '{"type":"PayloadMessage","message":{"messageId":"x","tasks":7}}' \
		'{"type":"NoSuchMessage","message":{}}' '{"type":3}' "{\"type\":\"PayloadMessage\",\"message\":{\"messageId\":\"y\",\"clusterArn\":\"c\",\"containerInstanceArn\":\"i\",\"seqNum\":1,\"tasks\":[{\"arn\":\"bad\",\"containers\":[{\"portMappings\":[{\"containerPort\":70000}]}]}]}}"; do
		jq -n --arg send "$frame" '{send: $send}' |
			curl -fsS --data-binary @- http://127.0.0.1:8080/local/fault >/dev/null
	done
	sleep 1
	[ "$(cat "$LAB_DIR/agent.pid")" = "$agent" ] && kill -0 "$agent"
	[ "$(describe "$arn" .lastStatus)" = RUNNING ]
	next=$(run_task sleeper)
	until_status "$next" RUNNING
	stop_all_tasks
}

@test "SIGTERM ends the agent cleanly and leaves the containers" {
	arn=$(run_task sleeper)
	until_status "$arn" RUNNING
	pid=$(container_pid "$arn" main)
	lab_stop agent TERM
	kill -0 "$pid"
	lab_resume_agent agent
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	[ "$(container_pid "$arn" main)" = "$pid" ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "ecsctl says what to do when the agent is down" {
	lab_stop agent TERM
	run ! lab_ecsctl agent ps
	[[ $output == *"ecs-agent"* ]]
	lab_resume_agent agent
	run -0 lab_ecsctl agent ps
}

@test "a full disk is a reason to start again later, not to stay away" {
	local env=() full=$LAB_DIR/full
	mapfile -t env <"$LAB_DIR/agent/env"
	mkdir "$full"
	mount -t tmpfs -o size=256k tmpfs "$full"
	echo 1 >"$full/agent.lock" # an earlier start had room for it
	run ! dd if=/dev/zero of="$full/ballast" bs=4k
	run env -i "${env[@]}" "ECS_DATADIR=$full" "ECS_RUN_DIR=$LAB_DIR/full-run" "$LAB_BUILD/ecs-agent"
	umount "$full"
	[ "$status" -eq 1 ] # 5 is not restarted by the unit
	[[ $output == *"Failed to start: database: "*"full"* ]]
}

@test "the doctor finds and removes what belongs to no task, with and without an agent" {
	local env=()
	mkdir -p "$LAB_DIR/agent/run/runc/ghost"
	run lab_ecsctl agent doctor
	[ "$status" -eq 4 ]
	[[ $output == *runtime-state*ghost*left* ]]
	run lab_ecsctl agent doctor --repair
	[ "$status" -eq 0 ]
	[[ $output == *runtime-state*ghost*removed* ]]
	[ ! -e "$LAB_DIR/agent/run/runc/ghost" ]
	lab_stop agent
	mkdir -p "$LAB_DIR/agent/run/runc/ghost"
	mapfile -t env <"$LAB_DIR/agent/env"
	run env -i "${env[@]}" "PATH=$LAB_BUILD:$PATH" "$LAB_BUILD/ecsctl" --json doctor
	[ "$status" -eq 4 ]
	[[ $output == *'"name": "ghost"'* ]]
	run env -i "${env[@]}" "PATH=$LAB_BUILD:$PATH" "$LAB_BUILD/ecsctl" doctor --repair
	[ "$status" -eq 0 ]
	[ ! -e "$LAB_DIR/agent/run/runc/ghost" ]
	lab_resume_agent agent
}
