#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers that wait for each other and containers that are restarted, through the ECS API.

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

# container NAME ESSENTIAL SCRIPT [members]: JSON of one that runs a shell script
container() {
	printf '{"name":"%s","image":"IMAGE","memory":32,"essential":%s,"command":["sh","-c",%s]%s}' \
		"$1" "$2" "$(jq -Rs . <<<"$3")" "${4:+,$4}"
}
depends_on() { printf '"dependsOn":[{"containerName":"%s","condition":"%s"}]' "$1" "$2"; }
ps_line() { lab_ecsctl agent ps -a | grep "^$(cut -c1-12 <<<"${1##*/}") .* $2 "; }
ps_says() { [[ $(ps_line "$1" "$2") == *"$3"* ]]; }
logs_say() { lab_ecsctl agent logs "${1##*/}/$2" | grep -qx "$3"; }
of_container() { describe "$1" ".containers[] | select(.name == \"$2\") | $3"; }

stays="trap 'echo ended; exit 0' TERM; echo begun; while :; do sleep 0.1; done"

restarted() { # arn count
	[ "$(lab_ecsctl agent inspect "${1##*/}" --json |
		jq -c '.containers[0] | [.restartCount, .lastStatus, .pid > 0]')" = "[$2,\"RUNNING\",true]" ]
}

@test "a container starts after the success of another one, and ps says what it waits for" {
	register chain "[$(container init false 'while [ ! -e /go ]; do sleep 0.1; done'),
		$(container web true "$stays" "$(depends_on init SUCCESS)")]"
	arn=$(run_task chain)
	lab_wait 60 "init to run" ps_says "$arn" init "Up "
	lab_wait 60 "web to wait" ps_says "$arn" web "container 'init' to end with exit code 0, for"
	[ "$(describe "$arn" .lastStatus)" = PENDING ]
	# Its image is known before it may run.
	[[ $(lab_ecsctl agent inspect "${arn##*/}" --json | jq -r '.containers[] | select(.name == "web") | .imageDigest') == sha256:* ]]
	touch "/proc/$(container_pid "$arn" init)/root/go"
	until_status "$arn" RUNNING
	lab_wait 60 "web to begin" logs_say "$arn" web begun
	[ "$(of_container "$arn" init .exitCode)" = 0 ]
	run ! ps_says "$arn" web "container 'init'"
	stop_task "$arn"
	until_status "$arn" STOPPED
}

digest_of() { # arn container
	lab_ecsctl agent inspect "${1##*/}" --json | jq -r ".containers[] | select(.name == \"$2\") | .imageDigest"
}
has_digest() { [[ $(digest_of "$1" "$2") == sha256:* ]]; }

@test "what runs after a wait is the image that was told before, though its tag has moved" {
	lab_make_small_image late:latest
	late=$(cat "$LAB_DIR/registry.addr")/late:latest
	web=$(container web true "$stays" "$(depends_on init SUCCESS)")
	register moved "[$(container init false 'while [ ! -e /go ]; do sleep 0.1; done'),${web/IMAGE/$late}]"
	arn=$(run_task moved)
	lab_wait 60 "init to run" ps_says "$arn" init "Up "
	lab_wait 60 "the digest of web" has_digest "$arn" web
	first=$(digest_of "$arn" web)
	[ "$(lab_ecsctl agent inspect "${arn##*/}" --json | jq -r '.containers[] | select(.name == "web") | .imageId')" = null ]
	lab_busybox_root "$LAB_DIR/root-late"
	lab_push_image late:latest "$LAB_DIR/root-late" --config.cmd true
	rm -rf "$LAB_DIR/root-late"
	touch "/proc/$(container_pid "$arn" init)/root/go"
	until_status "$arn" RUNNING 60
	[ "$(digest_of "$arn" web)" = "$first" ]
	[ "$(of_container "$arn" web .imageDigest)" = "$first" ]
	second=$(curl -fsSI -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
		-H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
		"http://${late%/*}/v2/late/manifests/latest" | tr -d '\r' | sed -n 's/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p')
	[ "$second" != "$first" ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "a container whose dependency failed does not start, and says why" {
	register failing "[$(container init false 'exit 3'),
		$(container web true "$stays" "$(depends_on init SUCCESS)")]"
	arn=$(run_task failing)
	until_status "$arn" STOPPED
	[ "$(of_container "$arn" web .exitCode)" = 143 ]
	[[ $(of_container "$arn" web .reason) == "CannotStartContainerError: dependency graph: "*"did not exit successfully"* ]]
	[ "$(of_container "$arn" init .exitCode)" = 3 ]
}

@test "nobody waits for a container longer than its start timeout" {
	register late "[$(container init false "$stays" '"startTimeout":2'),
		$(container web true "$stays" "$(depends_on init COMPLETE)")]"
	arn=$(run_task late)
	until_status "$arn" STOPPED 60
	[[ $(of_container "$arn" web .reason) == *"has timed out."* ]]
}

@test "a healthy dependency lets the others start, and a task stops in the reverse order" {
	register tiers "[$(container db true "$stays" \
		'"healthCheck":{"command":["CMD-SHELL","test -e /ready"],"interval":5,"retries":10}'),
		$(container web true "trap 'sleep 0.5; echo ended; exit 0' TERM; echo begun; while :; do sleep 0.1; done" \
			"$(depends_on db HEALTHY)")]"
	arn=$(run_task tiers)
	lab_wait 60 "db to run" ps_says "$arn" db "Up "
	lab_wait 60 "web to wait" ps_says "$arn" web "container 'db' to be HEALTHY, for"
	touch "/proc/$(container_pid "$arn" db)/root/ready"
	until_status "$arn" RUNNING 60
	lab_wait 60 "web to begin" logs_say "$arn" web begun
	stop_task "$arn"
	until_status "$arn" STOPPED
	logs_say "$arn" web ended
	logs_say "$arn" db ended
	web=$(lab_ecsctl agent logs --timestamps "${arn##*/}/web" | grep ended | cut -d' ' -f1)
	db=$(lab_ecsctl agent logs --timestamps "${arn##*/}/db" | grep ended | cut -d' ' -f1)
	[[ "$web" < "$db" ]]
}

@test "what cannot be resolved is refused when it is registered" {
	run register circle "[$(container a true true "$(depends_on b START)"),
		$(container b true true "$(depends_on a START)")]"
	[ "$status" -ne 0 ]
	[[ $output == *ClientException* ]]
	run register nobody "[$(container a true true "$(depends_on b START)")]"
	[[ $output == *"Unknown container 'b'"* ]]
	run register unchecked "[$(container a true true "$(depends_on b HEALTHY)"),$(container b false true)]"
	[[ $output == *"has no 'healthCheck'"* ]]
}

@test "a container is restarted in its place, also when no agent saw it end" {
	json=$(printf '{"family":"again","containerDefinitions":[%s]}' "$(container main true "echo begun >>/runs; $stays" \
		'"restartPolicy":{"enabled":true,"ignoredExitCodes":[42],"restartAttemptPeriod":60},"portMappings":[{"containerPort":80}]')")
	lab_api RegisterTaskDefinition "${json//IMAGE/$(cat "$LAB_DIR/registry.addr")\/web:latest}" >"$LAB_DIR/again.json"
	jq -e '.taskDefinition.containerDefinitions[0].restartPolicy == {"enabled":true,"ignoredExitCodes":[42],"restartAttemptPeriod":60}' \
		"$LAB_DIR/again.json"
	arn=$(run_task again)
	until_status "$arn" RUNNING
	id=$(of_container "$arn" main .runtimeId)
	port=$(of_container "$arn" main '.networkBindings[0].hostPort')
	pid=$(container_pid "$arn" main)
	# The shortest period that the service takes is a minute.
	began=$(date +%s)
	old_enough() { [ $(($(date +%s) - began)) -gt 61 ]; }
	lab_wait 90 "the container to be old enough" old_enough
	lab_stop agent KILL
	kill -KILL "$pid"
	lab_resume_agent agent
	lab_wait 60 "the next run" restarted "$arn" 1
	[ "$(wc -l <"/proc/$(container_pid "$arn" main)/root/runs")" = 2 ]
	[ "$(describe "$arn" .lastStatus)" = RUNNING ]
	[ "$(of_container "$arn" main .runtimeId)" = "$id" ]
	[ "$(of_container "$arn" main '.networkBindings[0].hostPort')" = "$port" ]
	curl -fsS http://127.0.0.1:51678/metrics | grep -q '^ecs_container_restarts_total{.*family="again".*} 1$'
	load metadata
	uri=$(variable "$arn" ECS_CONTAINER_METADATA_URI_V4)
	conforms "$arn" "/v4/${uri##*/}" container_v4
	jq -e '.RestartCount == 1' <<<"$body"
	# Too soon for another one.
	kill -KILL "$(container_pid "$arn" main)"
	until_status "$arn" STOPPED
	[ "$(of_container "$arn" main .exitCode)" = 137 ]
}
