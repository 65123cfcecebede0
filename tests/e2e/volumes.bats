#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Volumes through the AWS CLI: shared in a task, kept beyond it, filled from the image, mounted.

setup_file() {
	load helper
	lab_up ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=1s ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER=0s
}
teardown_file() {
	load helper
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

# one container called "main" that mounts: register_mounts FAMILY SCRIPT MOUNT-POINTS VOLUMES
register_mounts() {
	local script
	script=$(jq -Rs . <<<"$2")
	register "$1" "[{\"name\":\"main\",\"image\":\"IMAGE\",\"memory\":64,\"essential\":true,
		\"command\":[\"sh\",\"-c\",$script],\"mountPoints\":[$3]}]" "\"volumes\":[$4]"
}

volumes() { find "$LAB_DIR/agent/data/volumes" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort; }
no_volumes_but() { [ "$(volumes)" = "$1" ]; }

@test "a named volume of the task is shared by its containers and goes with the task" {
	register pair '[
		{"name":"main","image":"IMAGE","memory":32,"essential":true,
		 "command":["sh","-c","until [ -e /in/x ]; do sleep 0.1; done; exit 6"],
		 "mountPoints":[{"sourceVolume":"v","containerPath":"/in"}]},
		{"name":"writer","image":"IMAGE","memory":32,"essential":false,
		 "command":["sh","-c","touch /out/x"],
		 "mountPoints":[{"sourceVolume":"v","containerPath":"/out"}]}]' \
		'"volumes":[{"name":"v","dockerVolumeConfiguration":{"scope":"task"}}]'
	arn=$(run_task pair)
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[] | select(.name == "main") | .exitCode')" = 6 ]
	lab_wait 60 "the volume to go" no_volumes_but ""
}

@test "volumes are taken from another container, read-only" {
	register from '[
		{"name":"main","image":"IMAGE","memory":32,"essential":true,
		 "command":["sh","-c","until [ -e /v/x ]; do sleep 0.1; done; ! touch /v/y && exit 8"],
		 "volumesFrom":[{"sourceContainer":"other","readOnly":true}]},
		{"name":"other","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","touch /v/x"],
		 "mountPoints":[{"sourceVolume":"v","containerPath":"/v"}]}]' '"volumes":[{"name":"v"}]'
	arn=$(run_task from)
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[] | select(.name == "main") | .exitCode')" = 8 ]
}

@test "a shared volume survives its task, and one without autoprovision has to be there" {
	mount='{"sourceVolume":"keep","containerPath":"/data"}'
	register_mounts early 'true' "$mount" \
		'{"name":"keep","dockerVolumeConfiguration":{"scope":"shared","autoprovision":false}}'
	arn=$(run_task early)
	until_status "$arn" STOPPED
	[ "$(describe "$arn" .stoppedReason)" = "VolumeError: Agent could not create task's volume resources" ]
	[[ $(describe "$arn" '.containers[0].reason') == "CannotCreateVolumeError: "*"volume 'keep' does not exist and autoprovision is set to false" ]]

	register_mounts writes 'echo kept >/data/x' "$mount" \
		'{"name":"keep","dockerVolumeConfiguration":{"scope":"shared","autoprovision":true,"labels":{"a":"b"}}}'
	arn=$(run_task writes)
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 0 ]
	register_mounts reads 'grep -q kept /data/x' "$mount" \
		'{"name":"keep","dockerVolumeConfiguration":{"scope":"shared","autoprovision":false}}'
	arn=$(run_task reads)
	until_status "$arn" STOPPED
	[ "$(describe "$arn" '.containers[0].exitCode')" = 0 ]
	lab_wait 60 "all but the shared volume to go" no_volumes_but keep
}

@test "an empty volume gets what the image has at its path, read-only is read-only, inspect shows them" {
	register_mounts copied 'cp /etc/passwd /etc/mine && ! touch /ro/x && sleep 1000' \
		'{"sourceVolume":"etc","containerPath":"/etc"},{"sourceVolume":"host","containerPath":"/ro","readOnly":true}' \
		"{\"name\":\"etc\"},{\"name\":\"host\",\"host\":{\"sourcePath\":\"$LAB_DIR/made/by/agent\"}}"
	arn=$(run_task copied)
	until_status "$arn" RUNNING
	[ -d "$LAB_DIR/made/by/agent" ]
	lab_ecsctl agent inspect "${arn##*/}" --json >"$LAB_DIR/inspect.json"
	jq -e '.containers[0].mounts | map(.destination) == ["/etc", "/ro"]' "$LAB_DIR/inspect.json"
	jq -e '.containers[0].mounts[1] | .type == "bind" and .readOnly' "$LAB_DIR/inspect.json"
	[ -s "$(jq -r '.containers[0].mounts[0].source' "$LAB_DIR/inspect.json")/passwd" ]
	stop_task "$arn"
	until_status "$arn" STOPPED
}

@test "options of the local driver are mounted for the task and unmounted after it" {
	register_mounts memory 'grep " /m " /proc/self/mountinfo | grep -q "tmpfs.*size=64k" && sleep 1000' \
		'{"sourceVolume":"m","containerPath":"/m"}' \
		'{"name":"m","dockerVolumeConfiguration":{"scope":"task","driver":"local",
		  "driverOpts":{"type":"tmpfs","device":"tmpfs","o":"size=64k"}}}'
	arn=$(run_task memory)
	until_status "$arn" RUNNING
	grep -q "$LAB_DIR/agent/data/volumes" "/proc/$(cat "$LAB_DIR/agent.pid")/mountinfo"
	stop_task "$arn"
	until_status "$arn" STOPPED
	not_mounted() { ! grep -q "$LAB_DIR/agent/data/volumes" "/proc/$(cat "$LAB_DIR/agent.pid")/mountinfo"; }
	lab_wait 60 "the volume to be unmounted" not_mounted
}

@test "a driver that is not there is not placed, EFS without its mount helper says what is missing" {
	register_mounts driver true '{"sourceVolume":"d","containerPath":"/d"}' \
		'{"name":"d","dockerVolumeConfiguration":{"driver":"rexray/ebs"}}'
	run -0 lab_aws run-task --cluster lab --task-definition driver
	[ "$(jq -r '.failures[0].reason' <<<"$output")" = ATTRIBUTE ]
	# The kernel of the laboratory may have no NFS client, and no network leads to the server.
	register_mounts efs true '{"sourceVolume":"e","containerPath":"/e"}' \
		'{"name":"e","efsVolumeConfiguration":{"fileSystemId":"fs-12345678"}}'
	arn=$(run_task efs)
	until_status "$arn" STOPPED 60
	[[ $(describe "$arn" '.containers[0].reason') == "CannotCreateContainerError: failed to mount volume ecs-efs-1-e-"*": mounting volume failed: "* ]]
}
