#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Services, through the AWS CLI and its waiters: tasks start, come back, scale, roll, move and go.

load helper

setup_file() {
	lab_up
	register_script web "trap 'exit 0' TERM; sleep 1000 & wait"
	register_script web "trap 'exit 0' TERM; sleep 2000 & wait"
	register_script broken "exit 1"
}

teardown_file() {
	local name
	for name in web all broken; do
		lab_aws delete-service --cluster lab --service "$name" --force >/dev/null 2>&1 || true
	done
	lab_down
}

teardown() { lab_report; }

service() { # jq-filter [service]
	lab_api DescribeServices "{\"cluster\":\"lab\",\"services\":[\"${2:-web}\"]}" | jq -r ".services[0] | $1"
}
service_tasks() { # [service]: ARNs wanted to run, sorted
	lab_api ListTasks "{\"cluster\":\"lab\",\"serviceName\":\"${1:-web}\"}" | jq -r '.taskArns[]' | sort
}
counts_are() { # desired running pending [service]
	[ "$(service '"\(.desiredCount) \(.runningCount) \(.pendingCount)"' "${4:-web}")" = "$1 $2 $3" ]
}
is_stable() { # desired [service]
	counts_are "$1" "$1" 0 "${2:-web}" && [ "$(service '.deployments | length' "${2:-web}")" = 1 ]
}
until_stable() { lab_wait 30 "service ${2:-web} to be stable at $1" is_stable "$1" "${2:-web}"; }
has_event() { service '.events[].message' "${2:-web}" | grep -qE "$1"; }

@test "create-service starts its tasks, and says so" {
	local arn
	lab_aws create-service --cluster lab --service-name web --task-definition web:1 \
		--desired-count 2 --tags key=team,value=a >"$LAB_DIR/created.json"
	[ "$(jq -r '.service | .status, .deployments[0].status' "$LAB_DIR/created.json" | paste -sd' ')" = "ACTIVE PRIMARY" ]
	lab_aws wait services-stable --cluster lab --services web
	is_stable 2
	has_event '^\(service web\) has started 2 tasks: \(task [0-9a-f]{32}\) \(task [0-9a-f]{32}\)\.$'
	has_event '^\(service web\) has reached a steady state\.$'
	lab_aws list-services --cluster lab | jq -e '.serviceArns | length == 1' >/dev/null
	arn=$(service_tasks | head -1)
	[ "$(describe "$arn" '.group')" = service:web ]
	[[ "$(describe "$arn" '.startedBy')" == ecs-svc/* ]]
}

@test "a task finds the name of its service in its metadata" {
	local pid uri
	pid=$(container_pid "$(service_tasks | head -1)" main)
	uri=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^ECS_CONTAINER_METADATA_URI_V4=//p')
	[ "$(nsenter "--net=/proc/$pid/ns/net" curl -fsS "$uri/task" | jq -r .ServiceName)" = web ]
}

@test "a killed container's task is replaced" {
	local before victim
	before=$(service_tasks)
	victim=$(head -1 <<<"$before")
	kill -9 "$(container_pid "$victim" main)"
	until_status "$victim" STOPPED
	until_stable 2
	[ "$(comm -12 <(echo "$before") <(service_tasks) | wc -l)" = 1 ]
}

@test "a stopped task is replaced" {
	local victim
	victim=$(service_tasks | head -1)
	stop_task "$victim"
	until_status "$victim" STOPPED
	until_stable 2
}

@test "update-service --desired-count starts more and stops some" {
	lab_aws update-service --cluster lab --service web --desired-count 4 >/dev/null
	until_stable 4
	lab_aws update-service --cluster lab --service web --desired-count 2 >/dev/null
	until_stable 2
	has_event '^\(service web\) has stopped 2 running tasks: '
	[ "$(service_tasks | wc -l)" = 2 ]
}

@test "a new revision rolls without a gap" {
	local arn
	lab_aws update-service --cluster lab --service web --task-definition web:2 >"$LAB_DIR/updated.json"
	[ "$(jq '.service.deployments | length' "$LAB_DIR/updated.json")" = 2 ]
	lab_wait 30 "the deployment to complete" has_event 'deployment completed'
	until_stable 2
	[ "$(service '.deployments[0].rolloutState')" = COMPLETED ]
	for arn in $(service_tasks); do
		[[ "$(describe "$arn" '.taskDefinitionArn')" == *:task-definition/web:2 ]]
	done
}

@test "the control plane restarts: nothing is started twice" {
	local before
	before=$(service_tasks)
	lab_stop controlplane
	lab_start_controlplane "${LAB_CONTROLPLANE_ADDR:-127.0.0.1:8080}" --fault-injection
	lab_wait 60 "the agent to come back" lab_instance_connected lab
	sleep 3
	is_stable 2
	[ "$(service_tasks)" = "$before" ]
}

@test "a daemon service has a task on the instance" {
	lab_aws create-service --cluster lab --service-name all --task-definition web:1 \
		--scheduling-strategy DAEMON >/dev/null
	until_stable 1 all
	lab_aws delete-service --cluster lab --service all >/dev/null
	lab_aws wait services-inactive --cluster lab --services all
}

@test "a task that fails at start is tried again, ever more slowly" {
	lab_aws create-service --cluster lab --service-name broken --task-definition broken \
		--desired-count 1 >/dev/null
	lab_wait 60 "the event" has_event 'is unable to consistently start tasks successfully' broken
	[ "$(service '[.events[] | select(.message | contains("has started"))] | length' broken)" -le 5 ]
	lab_aws delete-service --cluster lab --service broken --force >/dev/null
}

@test "a draining instance has no replacement for its tasks: the minimum holds" {
	local instance
	instance=$(lab_aws list-container-instances --cluster lab --query 'containerInstanceArns[0]' --output text)
	lab_aws update-service --cluster lab --service web \
		--deployment-configuration minimumHealthyPercent=50,maximumPercent=200 >/dev/null
	lab_aws update-container-instances-state --cluster lab --container-instances "$instance" \
		--status DRAINING >/dev/null
	lab_wait 20 "one task to go" counts_are 2 1 0
	has_event 'was unable to place a task because no container instance met all of its requirements'
	lab_aws update-container-instances-state --cluster lab --container-instances "$instance" \
		--status ACTIVE >/dev/null
	until_stable 2
}

@test "delete-service stops the tasks and ends INACTIVE" {
	run -254 lab_aws delete-service --cluster lab --service web
	[[ "$output" == *"The service cannot be stopped while it is scaled above 0."* ]]
	lab_aws delete-service --cluster lab --service web --force >"$LAB_DIR/deleted.json"
	[ "$(jq -r .service.status "$LAB_DIR/deleted.json")" = DRAINING ]
	lab_aws wait services-inactive --cluster lab --services web
	[ -z "$(lab_aws list-services --cluster lab | jq -r '.serviceArns[]')" ]
	run -254 lab_aws update-service --cluster lab --service web --desired-count 1
	[[ "$output" == *ServiceNotActiveException* ]]
}
