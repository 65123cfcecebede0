#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Health checks through the AWS CLI: from register-task-definition to healthStatus in describe-tasks.

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

# register_checked FAMILY HEALTH-CHECK [container members]
register_checked() {
	register "$1" "[{\"name\":\"main\",\"image\":\"IMAGE\",\"memory\":32,\"essential\":true,
		\"command\":[\"sh\",\"-c\",\"trap 'exit 3' TERM; while :; do sleep 0.1; done\"],
		\"healthCheck\":$2${3:+,$3}}]"
}

has_health() { # arn status
	[ "$(describe "$1" '.containers[0].healthStatus, .healthStatus' | paste -sd' ')" = "$2 $2" ]
}
# Telemetry goes out every 20 s, the shortest interval is 5 s.
until_health() { lab_wait 90 "task $1 to be $2" has_health "$1" "$2"; }

ps_line() { lab_ecsctl agent ps | grep "^$(cut -c1-12 <<<"${1##*/}")"; }

@test "health flips are told while the agent lives, and seen by the next one when it was killed" {
	register_checked flip '{"command":["CMD-SHELL","until [ -e /tmp/go ]; do sleep 0.1; done; echo looked; touch /tmp/probed; test ! -e /tmp/bad"],"interval":5,"timeout":120,"retries":1}'
	arn=$(run_task flip)
	until_status "$arn" RUNNING
	[ "$(describe "$arn" .healthStatus)" = UNKNOWN ]
	[[ $(ps_line "$arn") == *"(health: starting)"* ]]
	pid=$(container_pid "$arn" main)
	touch "/proc/$pid/root/tmp/go"
	until_health "$arn" HEALTHY
	[[ $(ps_line "$arn") == *"(healthy)"* ]]
	[ "$(lab_ecsctl agent inspect "${arn##*/}" --json | jq -c '.containers[0].health | [.output, .exitCode]')" = '["looked\n",0]' ]
	curl -fsS http://127.0.0.1:51678/metrics | grep -q '^ecs_container_healthy{.*family="flip".*} 1$'
	touch "/proc/$pid/root/tmp/bad"
	lab_stop agent KILL
	rm "/proc/$pid/root/tmp/probed"
	lab_wait 60 "a probe that no agent hears of" test -e "/proc/$pid/root/tmp/probed"
	lab_resume_agent agent
	until_health "$arn" UNHEALTHY
	[ "$(container_pid "$arn" main)" = "$pid" ] # which stops nothing here
	[ "$(describe "$arn" .lastStatus)" = RUNNING ]
	[[ $(ps_line "$arn") == *"(unhealthy)"* ]]
	curl -fsS http://127.0.0.1:51678/metrics | grep -q '^ecs_container_healthy{.*family="flip".*} 0$'
	rm "/proc/$pid/root/tmp/bad"
	until_health "$arn" HEALTHY
	stop_task "$arn"
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 3 ]
}

@test "a probe that hangs is killed at its timeout and does not delay the stop" {
	register_checked hang '{"command":["CMD-SHELL","sleep 901 & sleep 902"],"interval":5,"timeout":2,"retries":1}'
	arn=$(run_task hang)
	until_status "$arn" RUNNING
	until_health "$arn" UNHEALTHY
	[[ $(lab_ecsctl agent inspect "${arn##*/}" --json | jq -r '.containers[0].health.output') == "Health check exceeded timeout (2s)"* ]]
	stop_task "$arn"
	until_status "$arn" STOPPED
	[ "$(processes_in_cgroups)" -eq 0 ]
}

@test "of two essential containers one unhealthy makes the task unhealthy" {
	register both '[
		{"name":"main","image":"IMAGE","memory":32,"essential":true,"command":["sleep","300"],
			"healthCheck":{"command":["CMD","true"],"interval":5,"retries":1}},
		{"name":"side","image":"IMAGE","memory":32,"essential":true,"command":["sleep","300"],
			"healthCheck":{"command":["CMD","false"],"interval":5,"retries":1}}]'
	arn=$(run_task both)
	until_status "$arn" RUNNING
	both_known() {
		[ "$(describe "$arn" '.containers | sort_by(.name) | map(.healthStatus) | join(" ")')" = "HEALTHY UNHEALTHY" ]
	}
	lab_wait 90 "both to be known" both_known
	[ "$(describe "$arn" .healthStatus)" = UNHEALTHY ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "a health check outside its bounds is refused at registration" {
	run register_checked bad '{"command":["CMD","true"],"interval":4}'
	[ "$status" -ne 0 ]
	[[ $output == *interval* ]]
	run register_checked bad '{"command":[]}'
	[ "$status" -ne 0 ]
}
