#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A spot instance is to be taken away: it drains. A fake metadata service gives the notice.

load helper

setup_file() {
	ip link set lo up
	IMDS_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e-imds.XXXXXX")
	NOTICE=$IMDS_DIR/spot/instance-action
	mkdir "$IMDS_DIR/spot"
	export IMDS_DIR NOTICE
	"$BATS_TEST_DIRNAME/imds-double.py" "$IMDS_DIR" 1338 >/dev/null 2>&1 3>&- &
	IMDS_PID=$!
	export IMDS_PID
	lab_up AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1338 \
		ECS_ENABLE_SPOT_INSTANCE_DRAINING=true
}

teardown_file() {
	lab_down
	kill "$IMDS_PID" 2>/dev/null || true
	rm -rf "$IMDS_DIR"
}

teardown() { lab_report; }

instance_status() {
	lab_api ListContainerInstances "{\"cluster\":\"lab\",\"status\":\"$1\"}" | jq '.containerInstanceArns | length'
}
is_draining() { [ "$(instance_status DRAINING)" = 1 ]; }
is_active() { [ "$(instance_status ACTIVE)" = 1 ]; }

@test "a notice drains the instance: what runs stays, nothing new comes" {
	local arn
	register_script stays "trap 'exit 0' TERM; sleep 1000 & wait"
	arn=$(run_task stays)
	until_status "$arn" RUNNING
	# What is no notice, or none of the kinds that end the instance, changes nothing.
	echo '{"action":"rejoice"}' >"$NOTICE"
	[ "$(instance_status ACTIVE)" = 1 ]
	# The news is refused a few times: the agent goes on saying so.
	jq -n '{http: {operation: "UpdateContainerInstancesState", status: 400, count: 3}}' |
		curl -fsS --data-binary @- http://127.0.0.1:8080/local/fault >/dev/null
	echo '{"action":"terminate","time":"2030-01-01T00:00:00Z"}' >"$IMDS_DIR/new"
	mv "$IMDS_DIR/new" "$NOTICE"
	lab_wait 60 "the instance to drain" is_draining
	[ "$(grep -c "Failed to set this instance to DRAINING, trying again" "$LAB_DIR/agent.log")" = 3 ]
	has_status "$arn" RUNNING
	run lab_aws run-task --cluster lab --task-definition stays
	[[ $output == *"No Container Instances were found in your cluster."* ]]
	has_status "$arn" RUNNING
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "a drained instance drains again after a restart of its agent, and serves when set ACTIVE" {
	lab_stop agent
	lab_resume_agent agent
	lab_wait 60 "the container instance to connect" lab_instance_connected lab
	is_draining
	rm "$NOTICE"
	lab_aws update-container-instances-state --cluster lab --status ACTIVE --container-instances \
		"$(lab_aws list-container-instances --cluster lab --query 'containerInstanceArns[0]' --output text)" \
		>/dev/null
	arn=$(run_task stays)
	until_status "$arn" RUNNING
}

@test "ecsctl drain takes no more tasks and says so; --undo serves again" {
	lab_ecsctl agent drain
	lab_wait 60 "the instance to drain" is_draining
	lab_stop agent
	lab_resume_agent agent
	lab_wait 60 "the container instance to connect" lab_instance_connected lab
	is_draining # who drained it was its operator, so a restart changes nothing
	lab_ecsctl agent drain --undo
	lab_wait 60 "the instance to serve again" is_active
	run lab_ecsctl agent drain --undo --stop-tasks
	[ "$status" -eq 2 ]
}

@test "a service starts nothing on a host that shuts down, even where the draining is told late" {
	register_script served "trap 'exit 7' TERM; while :; do sleep 0.1; done"
	lab_aws create-service --cluster lab --service-name served --task-definition served --desired-count 1 >/dev/null
	lab_wait 60 "its task to run" service_runs served
	arn=$(lab_aws list-tasks --cluster lab --service-name served --query 'taskArns[]' --output text)
	jq -n '{http: {operation: "UpdateContainerInstancesState", status: 400, count: 1}}' |
		curl -fsS --data-binary @- http://127.0.0.1:8080/local/fault >/dev/null
	lab_ecsctl agent drain --stop-tasks --timeout 300
	is_draining
	[ "$(describe "$arn" '.containers[0].exitCode')" = 7 ]
	[ -z "$(lab_aws list-tasks --cluster lab --family served --query 'taskArns[]' --output text)" ]
	[ "$(lab_aws list-tasks --cluster lab --family served --desired-status STOPPED --query 'length(taskArns)')" = 1 ]
	lab_stop agent
	lab_resume_agent agent
	lab_wait 60 "another task of the service to run" service_runs served
	lab_aws delete-service --cluster lab --service served --force >/dev/null
	lab_wait 60 "it to end" service_is_empty served
}
service_runs() { [ "$(lab_aws describe-services --cluster lab --services "$1" --query 'services[0].runningCount')" = 1 ]; }
service_is_empty() { [ "$(lab_aws list-tasks --cluster lab --family "$1" --query 'length(taskArns)')" = 0 ]; }

@test "before a shutdown all tasks are stopped properly and reported; the next start serves again" {
	register_script farewell "trap 'exit 7' TERM; while :; do sleep 0.1; done"
	arns=()
	mapfile -t arns < <(run_task farewell --count 2)
	for arn in "${arns[@]}"; do until_status "$arn" RUNNING; done
	lab_ecsctl agent drain --stop-tasks --timeout 300
	# Everything is told when the command returns: nothing is waited for.
	for arn in "${arns[@]}"; do
		[ "$(describe "$arn" .lastStatus)" = STOPPED ]
		[ "$(describe "$arn" '.containers[0].exitCode')" = 7 ]
		[[ "$(describe "$arn" .stoppedReason)" == *"container instance shuts down"* ]]
	done
	[ "$(lab_ecsctl agent status --json | jq '.tasks + .tasksStopping')" = 0 ]
	lab_wait 60 "the instance to drain" is_draining
	lab_stop agent
	lab_resume_agent agent
	lab_wait 60 "the instance to serve again" is_active
	lab_ecsctl agent status --wait 60
}
