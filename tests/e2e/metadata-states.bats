#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What tasks and the host are told of containers in every state and network mode, on an instance that knows where it is.
# The host lets tasks reach its metadata service and others reach its introspection, which is not the default.

ELSEWHERE=10.255.255.1 # an address of the host that is neither the bridge's nor the loopback's
MAC=02:00:5e:10:00:01

setup_file() {
	load helper
	ip link set lo up
	ip address add $ELSEWHERE/32 dev lo
	ip address add 169.254.169.254/32 dev lo
	IMDS_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e-imds.XXXXXX")
	export IMDS_DIR
	mkdir -p "$IMDS_DIR"/placement "$IMDS_DIR/network/interfaces/macs/$MAC"
	echo us-west-2a >"$IMDS_DIR/placement/availability-zone"
	echo usw2-az2 >"$IMDS_DIR/placement/availability-zone-id"
	echo vpc-0a1b2c3d >"$IMDS_DIR/network/interfaces/macs/$MAC/vpc-id"
	echo $MAC >"$IMDS_DIR/mac"
	echo 10.9.8.7 >"$IMDS_DIR/local-ipv4"
	echo 198.51.100.7 >"$IMDS_DIR/public-ipv4"
	truncate -s -1 "$IMDS_DIR"/{mac,*-ipv4,placement/*,network/interfaces/macs/*/*} # no newline, as there
	"$BATS_TEST_DIRNAME/imds-double.py" "$IMDS_DIR" 80 169.254.169.254 >/dev/null 2>&1 3>&- &
	echo $! >"$IMDS_DIR/pid"
	lab_up AWS_EC2_METADATA_DISABLED=false ECS_ENABLE_CONTAINER_METADATA=true ECS_ALLOW_INSTANCE_METADATA=true \
		ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS=true
}
teardown_file() {
	load helper
	lab_down
	kill "$(cat "$IMDS_DIR/pid")"
	rm -rf "$IMDS_DIR"
}
setup() {
	load helper
	load metadata
}
teardown() { lab_report; }

# What introspection says of a task, checked by its schema; it is in $body.
introspected() { # arn
	body=$(curl -fsS "http://127.0.0.1:51678/v1/tasks?taskarn=$1")
	"$BATS_TEST_DIRNAME/check-schema.py" introspection_task <<<"$body"
}
id_of() { # arn: of its main container, at the task server
	local uri
	uri=$(variable "$1" ECS_CONTAINER_METADATA_URI_V4)
	echo "${uri##*/}"
}
container() { jq -c ".Containers[] | select(.Name == \"$1\")" <<<"$body"; } # name: of the task in $body

@test "a task is told where it runs" {
	register_script placed 'sleep 600'
	arn=$(run_task placed)
	until_status "$arn" RUNNING 60
	id=$(id_of "$arn")
	conforms "$arn" "/v4/$id/task" task_v4
	[ "$(jq -r '[.AvailabilityZone, .AvailabilityZoneID, .VPCID, .LaunchType] | join(" ")' <<<"$body")" = \
		"us-west-2a usw2-az2 vpc-0a1b2c3d EC2" ]
	conforms "$arn" "/v3/$id/task" task_v3
	jq -e '.AvailabilityZone == "us-west-2a" and (has("VPCID") or has("AvailabilityZoneID") | not)' <<<"$body"
	file=/proc/$(container_pid "$arn" main)/root$(variable "$arn" ECS_CONTAINER_METADATA_FILE)
	"$BATS_TEST_DIRNAME/check-schema.py" metadata_file <"$file"
	[ "$(jq -r '[.AvailabilityZone, .HostPrivateIPv4Address, .HostPublicIPv4Address] | join(" ")' "$file")" = \
		"us-west-2a 10.9.8.7 198.51.100.7" ]
	stop_task "$arn"
}

@test "who may reach the instance metadata service does, and the log says who may" {
	register_script curious 'sleep 600'
	arn=$(run_task curious)
	until_status "$arn" RUNNING 60
	[ "$(inside "$arn" curl -sS --max-time 30 http://169.254.169.254/latest/meta-data/mac)" = $MAC ]
	grep -F "ECS_ALLOW_INSTANCE_METADATA: Tasks on bridge 'ecs0' reach the instance metadata service and the role" \
		"$LAB_DIR/agent.log"
	stop_task "$arn"
}

@test "introspection is open to others when it is said to be; the task server is not" {
	curl -fsS --max-time 30 "http://$ELSEWHERE:51678/v1/metadata" |
		"$BATS_TEST_DIRNAME/check-schema.py" introspection_metadata
	run ! curl -sS --max-time 2 "http://$ELSEWHERE:51679/v2/metadata"
}

@test "a container without a network is described to the host, and to itself in its file" {
	register alone '[{"name":"main","image":"IMAGE","memory":32,"essential":true,"command":["sleep","600"]}]' \
		'"networkMode":"none"'
	arn=$(run_task alone)
	until_status "$arn" RUNNING 60
	introspected "$arn"
	jq -e '.Containers[0] | has("Networks") or has("Ports") | not' <<<"$body"
	[ -z "$(in_task "$arn" ip route show table all type unicast)" ]
	file=/proc/$(container_pid "$arn" main)/root$(variable "$arn" ECS_CONTAINER_METADATA_FILE)
	"$BATS_TEST_DIRNAME/check-schema.py" metadata_file <"$file"
	jq -e '.Networks == [{NetworkMode: "none", IPv4Addresses: [""]}]' "$file"
	run ! inside "$arn" curl -sS --max-time 2 "$(variable "$arn" ECS_CONTAINER_METADATA_URI_V4)"
	stop_task "$arn"
}

@test "health, restarts and every kind of volume are told, and a container that has stopped stays described" {
	register_raw states '[{"name":"main","image":"IMAGE","memory":32,"essential":true,
			"command":["sleep","600"],"restartPolicy":{"enabled":true,"restartAttemptPeriod":60},
			"healthCheck":{"command":["CMD-SHELL","echo fine"],"interval":5,"retries":1},
			"mountPoints":[{"sourceVolume":"host","containerPath":"/h","readOnly":true},
				{"sourceVolume":"own","containerPath":"/o"},{"sourceVolume":"named","containerPath":"/n"}]},
		{"name":"ill","image":"IMAGE","memory":32,"essential":false,"command":["sleep","600"],
			"healthCheck":{"command":["CMD-SHELL","echo bad; exit 3"],"interval":5,"retries":1}},
		{"name":"ended","image":"IMAGE","memory":32,"essential":false,"command":["sh","-c","exit 5"]}]' \
		'"volumes":[{"name":"host","host":{"sourcePath":"/tmp"}},{"name":"own","host":{}},
		{"name":"named","dockerVolumeConfiguration":{"scope":"task","driver":"local"}}]'
	arn=$(run_task states)
	until_status "$arn" RUNNING 60
	id=$(id_of "$arn")
	settled() {
		conforms "$arn" "/v4/$id/task" task_v4 &&
			[ "$(jq -r '[.Containers[] | .Name + ":" + (.Health.status // "-")] | sort | join(" ")' <<<"$body")" = \
				"ended:- ill:UNHEALTHY main:HEALTHY" ]
	}
	lab_wait 30 "the health of all" settled
	conforms "$arn" "/v4/$id/task" task_v4 # the schema of every state below
	container main | jq -e '.RestartCount == 0 and (.Health | has("exitCode") | not) and .Health.statusSince
		and (.Volumes | map(.Destination) | sort) == ["/h", "/n", "/o"]
		and (.Volumes[] | select(.Destination == "/h").Source) == "/tmp"'
	container ill | jq -e '.Health.exitCode == 3 and (.Health.output | startswith("bad")) and (has("RestartCount") | not)'
	container ended | jq -e '.KnownStatus == "STOPPED" and .ExitCode == 5 and .StartedAt <= .FinishedAt and (has("Health") | not)'
	conforms "$arn" "/v3/$id/task" task_v3
	container ended | jq -e '.KnownStatus == "STOPPED" and .ExitCode == 5'
	conforms "$arn" "/v4/$id" container_v4
	introspected "$arn"
	container main | jq -e '.RestartCount == 0 and (.Volumes | length) == 3'
	# One that has stopped has no figures: null as the reference has it, and an empty object in version 4.
	ended=$(curl -fsS "http://127.0.0.1:51678/v1/tasks?taskarn=$arn" | jq -r '.Containers[] | select(.Name == "ended").DockerId')
	conforms "$arn" "/v4/$id/task/stats" task_stats_v4
	jq -e --arg e "$ended" 'length == 3 and .[$e] == {}' <<<"$body"
	conforms "$arn" "/v3/$id/task/stats" task_stats_v3
	jq -e --arg e "$ended" 'length == 3 and has($e) and .[$e] == null' <<<"$body"
	stop_task "$arn"
	until_status "$arn" STOPPED 30
	introspected "$arn"
	jq -e '.KnownStatus == "STOPPED" and .DesiredStatus == "STOPPED" and (.Containers | length) == 3' <<<"$body"
}
