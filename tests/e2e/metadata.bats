#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What tasks find at 169.254.170.2: their roles' credentials, themselves, and nothing of others'.

ROLE=arn:aws:iam::123456789012:role/app
BRIDGE=172.31.240.1

setup_file() {
	load helper
	export LAB_CONTROLPLANE_ADDR=0.0.0.0:8080 # tasks on the bridge ask it, too
	make_mount_helper
	lab_up "PATH=$BATS_FILE_TMPDIR/bin:$PATH" 'ECS_VOLUME_PLUGIN_CAPABILITIES=["efsAuth"]' \
		ECS_ENABLE_CONTAINER_METADATA=true
	register_script app 'sleep 600' && register_role app "$ROLE"
	APP=$(run_task app --tags key=team,value=blue) && OTHER=$(run_task app)
	export APP OTHER # two tasks of the same role, for most of what follows
	until_status "$APP" RUNNING 60
	until_status "$OTHER" RUNNING 60
}
teardown_file() {
	load helper
	lab_down
}
setup() {
	load helper
	load metadata
}
teardown() { lab_report; }

# The newest revision of a family once more, with a role: register_role FAMILY ROLE [NETWORK-MODE]
register_role() {
	lab_aws describe-task-definition --task-definition "$1" |
		jq --arg role "$2" --arg mode "${3:-bridge}" '.taskDefinition
			| {family, containerDefinitions, taskRoleArn: $role, networkMode: $mode}' >"$LAB_DIR/role.json"
	lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/role.json" >/dev/null
}

# Does with EFS what amazon-efs-utils begins with, asking for the role's credentials where it asks.
make_mount_helper() {
	mkdir "$BATS_FILE_TMPDIR/bin"
	cat >"$BATS_FILE_TMPDIR/bin/mount" <<-EOF
		#!/bin/sh
		case \$4 in *awscredsuri=*) ;; *) exec /bin/mount "\$@" ;; esac
		uri=\${4#*awscredsuri=}
		curl -sS --max-time 30 "http://169.254.170.2\${uri%%,*}" >"$BATS_FILE_TMPDIR/answer" || exit
		for target; do :; done
		exec /bin/mount -t tmpfs none "\$target"
	EOF
	chmod +x "$BATS_FILE_TMPDIR/bin/mount"
}

@test "a task's SDK finds its role's credentials, and the control plane verifies what it signs" {
	arn=$APP
	run inside "$arn" python3 "$BATS_TEST_DIRNAME/role-client.py" "http://$BRIDGE:8080" "$arn"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(jq -r .method <<<"$output")" = container-role ]
	[[ $(jq -r .access_key <<<"$output") == ASIA* ]]
	[ "$(jq -r .group <<<"$output")" = family:app ]
	run inside "$arn" python3 "$BATS_TEST_DIRNAME/role-client.py" "http://$BRIDGE:8080" "$arn" --forge
	[ "$(jq -r .error <<<"$output")" = InvalidSignatureException ]
	ask "$arn" "$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)" >"$LAB_DIR/answer"
	[ "$(tail -1 "$LAB_DIR/answer")" = 200 ]
	[ "$(jq -r 'keys_unsorted | join(" ")' < <(head -1 "$LAB_DIR/answer"))" = \
		"RoleArn AccessKeyId SecretAccessKey Token Expiration" ]
	[ "$(jq -r .RoleArn < <(head -1 "$LAB_DIR/answer"))" = "$ROLE" ]
	[ "$(variable "$arn" AWS_REGION)" = us-west-2 ]
	[ "$(variable "$arn" AWS_DEFAULT_REGION)" = us-west-2 ]
}

@test "another task's id is an unknown id, also at the agent's own port and with a forged source" {
	owner=$APP
	thief=$OTHER
	uri=$(variable "$owner" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	has_credentials "$owner" "$uri"
	refused='{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}'
	[ "$(ask "$thief" "$uri")" = "$refused"$'\n400' ]
	run inside "$thief" curl -sS --max-time 30 "http://$BRIDGE:51679$uri"
	[ "$output" = "$refused" ]
	run curl -sS --max-time 30 "http://127.0.0.1:51679$uri" # nor may the host's own namespace
	[ "$output" = "$refused" ]
	run ! inside "$thief" curl -sS --max-time 2 "http://127.0.0.1:51679$uri"
	# Its neighbour's address as a source: the answers go to the neighbour.
	address=$(inside "$owner" ip -4 -j addr show dev eth0 | jq -r '.[0].addr_info[0].local')
	inside "$thief" ip addr add "$address/32" dev lo
	run ! inside "$thief" curl -sS --max-time 2 --interface "$address" "http://169.254.170.2$uri"
	inside "$thief" ip addr del "$address/32" dev lo
}

@test "the host mounts an EFS file system with the role of the task, and asks for no other's" {
	register efs '[{"name":"main","image":"IMAGE","memory":32,"essential":true,
		"command":["sh","-c","grep -q \" /e .* tmpfs\" /proc/self/mountinfo && sleep 600"],
		"mountPoints":[{"sourceVolume":"e","containerPath":"/e"}]}]' \
		'"taskRoleArn":"'"$ROLE"'","volumes":[{"name":"e","efsVolumeConfiguration":{"fileSystemId":"fs-12345678",
		"transitEncryption":"ENABLED","authorizationConfig":{"iam":"ENABLED"}}}]'
	arn=$(run_task efs)
	until_status "$arn" RUNNING 60
	[ "$(jq -r .RoleArn "$BATS_FILE_TMPDIR/answer")" = "$ROLE" ]
	[[ $(jq -r .AccessKeyId "$BATS_FILE_TMPDIR/answer") == ASIA* ]]
	uri=$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	curl -fsS --max-time 30 -o /dev/null "http://169.254.170.2$uri" # also later: they are renewed
	[ "$(ask "$OTHER" "$uri" | tail -1)" = 400 ]
	run ! grep -F "${uri##*/}" "$LAB_DIR/agent.log"
	stop_task "$arn"
}

@test "credentials come back after a crash of the agent at the same place, and no log has the id" {
	arn=$APP
	uri=$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	lab_stop agent KILL
	lab_resume_agent agent
	lab_wait 60 "the credentials to come back" has_credentials "$arn" "$uri"
	[ "$(ask "$arn" /v2/credentials/ | tail -1)" = 400 ]
	[ "$(ask "$arn" /v2/credentials/no-such-id | head -1 | jq -r .code)" = InvalidIdInRequest ]
	[ "$(ask "$arn" "/v1/credentials?id=${uri##*/}" | tail -1)" = 200 ]
	[ "$(ask "$arn" /v9)" = $'404 page not found\n\n404' ]
	run ! grep -F "${uri##*/}" "$LAB_DIR/agent.log"
}

@test "a task in host mode has its role's credentials, too" {
	register_script apphost 'sleep 600' && register_role apphost "$ROLE" host
	arn=$(run_task apphost)
	until_status "$arn" RUNNING 60
	uri=$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	has_credentials "$arn" "$uri"
	[ "$(curl -sS -o /dev/null -w '%{http_code}' "http://169.254.170.2$uri")" = 200 ] # its network is the host's
	id=$(variable "$arn" ECS_CONTAINER_METADATA_URI_V4) && id=${id##*/}
	conforms "$arn" "/v4/$id" container_v4
	jq -e '.Networks == [{NetworkMode: "host", IPv4Addresses: [""]}]' <<<"$body"
	conforms "$arn" "/v4/$id/stats" stats_v4
	jq -e 'has("networks") | not' <<<"$body"
	stop_task "$arn"
	until_status "$arn" STOPPED 60
	curl -sS "http://169.254.170.2$uri" | jq -e '.code == "InvalidIdInRequest"'
}

@test "a container sees itself and its task in every version, by the schemas" {
	register seen '[{"name":"main","image":"IMAGE","memory":64,"essential":true,"cpu":128,
			"dockerLabels":{"a":"b"},"portMappings":[{"containerPort":80,"hostPort":0}],
			"logConfiguration":{"logDriver":"json-file","options":{"max-size":"1m"}},
			"mountPoints":[{"sourceVolume":"v","containerPath":"/v"}]},
		{"name":"side","image":"IMAGE","memory":64,"essential":false,"command":["sleep","600"]}]' \
		'"volumes":[{"name":"v","host":{}}],"memory":"256"'
	arn=$(run_task seen)
	until_status "$arn" RUNNING 60
	v4=$(variable "$arn" ECS_CONTAINER_METADATA_URI_V4)
	v3=$(variable "$arn" ECS_CONTAINER_METADATA_URI)
	[[ $v4 == http://169.254.170.2/v4/* && $v3 == "http://169.254.170.2/v3/${v4##*/}" ]]
	id=${v4##*/}

	conforms "$arn" "/v4/$id" container_v4
	[ "$(jq -r '[.Name, .KnownStatus, .Labels.a, .Labels["com.amazonaws.ecs.task-arn"], .Limits.CPU, .Limits.Memory,
		.LogDriver, .LogOptions["max-size"], .Networks[0].NetworkMode] | join(" ")' <<<"$body")" = \
		"main RUNNING b $arn 128 64 json-file 1m bridge" ]
	port=$(describe "$arn" '.containers[] | select(.name == "main") | .networkBindings[0].hostPort')
	jq -e --argjson p "$port" '(.Ports | length) == 2 and all(.Ports[]; .ContainerPort == 80 and .Protocol == "tcp" and .HostPort == $p)
		and [.Ports[].HostIp] == ["0.0.0.0", "::"] and (.Networks[0].IPv6Addresses | length) == 1' <<<"$body"
	jq -e '.Volumes[0].Destination == "/v"' <<<"$body"
	[ "$(jq -r '.Networks[0].IPv4Addresses[0]' <<<"$body")" = \
		"$(inside "$arn" ip -4 -j addr show dev eth0 | jq -r '.[0].addr_info[0].local')" ]
	conforms "$arn" "/v4/$id/task" task_v4
	[ "$(jq -r '[.Cluster, .TaskARN, .Family, .Revision, .DesiredStatus, .KnownStatus, .LaunchType, .Limits.Memory,
		(.Containers | length), .FaultInjectionEnabled] | join(" ")' <<<"$body")" = \
		"lab $arn seen 1 RUNNING RUNNING EC2 256 2 false" ]
	conforms "$arn" "/v3/$id" container_v3
	jq -e 'has("LogDriver") or has("ContainerARN") | not' <<<"$body"
	conforms "$arn" "/v3/$id/task" task_v3
	conforms "$arn" "/v4/$id/associations/gpu" associations
	conforms "$arn" /v2/metadata task_v3
	conforms "$arn" "/v2/metadata/$(jq -r '.Containers[0].DockerId' <<<"$body")" container_v3

	conforms "$arn" "/v4/$id/stats" stats_v4
	jq -e '.cpu_stats.cpu_usage.total_usage > 0 and .memory_stats.usage > 0 and .memory_stats.limit == 67108864
		and .pids_stats.current >= 1 and .networks.eth0.rx_bytes > 0 and .cpu_stats.system_cpu_usage > 0' <<<"$body"
	conforms "$arn" "/v4/$id/task/stats" task_stats_v4
	jq -e 'length == 2' <<<"$body"
	conforms "$arn" "/v3/$id/stats" stats_v3
	conforms "$arn" "/v3/$id/task/stats" task_stats_v3
	conforms "$arn" /v2/stats task_stats_v3
	has_rates() { conforms "$arn" "/v4/$id/stats" stats_v4 && jq -e '.network_rate_stats and .preread > "1" and .precpu_stats.system_cpu_usage > 0' <<<"$body"; }
	lab_wait 60 "two samples" has_rates
	stop_task "$arn"
}

@test "what metadata refuses, it refuses in the reference's words; a neighbour's id is unknown" {
	arn=$APP other=$OTHER
	id=$(variable "$other" ECS_CONTAINER_METADATA_URI_V4) && id=${id##*/}
	[ "$(ask "$other" "/v4/$id" | tail -1)" = 200 ]
	[ "$(ask "$arn" "/v4/$id")" = '"V4 container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: '"$id"$'"\n404' ]
	[ "$(ask "$arn" "/v4/$id/task")" = '"V4 task metadata handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: '"$id"$'"\n404' ]
	[ "$(ask "$arn" "/v3/$id" | tail -1)" = 500 ]
	[ "$(ask "$arn" "/v3/$id/stats" | tail -1)" = 400 ]
	[ "$(ask "$arn" "/v4/$id/task/stats" | tail -1)" = 404 ]
	[ "$(ask "$arn" "/v4/$id/nothing" | tail -1)" = 404 ]
}

@test "requests for credentials are in the audit log, and no id is" {
	uri=$(variable "$APP" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	log=$LAB_DIR/agent/audit.log
	instance=$(lab_aws list-container-instances --cluster lab --query 'containerInstanceArns[0]' --output text)
	: >"$log"
	inside "$APP" curl -sS -A 'my "agent"' -o /dev/null "http://169.254.170.2$uri"
	inside "$OTHER" curl -sS -A thief -o /dev/null "http://169.254.170.2/v1/credentials?id=${uri##*/}"
	cat "$log"
	grep -qE '^[0-9-]{10}T[0-9:]{8}Z 200 172\.31\.240\.[0-9]+:[0-9]+ "/v2/credentials" "my \\"agent\\"" '"$APP GetCredentials 2 lab $instance\$" "$log"
	grep -qE '^[^ ]+ 400 172\.31\.240\.[0-9]+:[0-9]+ "/v1/credentials" "thief" '"$APP GetCredentials 2 lab $instance\$" "$log"
	[ "$(wc -l <"$log")" = 2 ]
	run ! grep -F "${uri##*/}" "$log"
}

@test "answers tell of the rate; unclean paths are moved; bodies and paths have an end" {
	uri=$(variable "$APP" ECS_CONTAINER_METADATA_URI_V4) path=/v4/${uri##*/}
	head() { inside "$APP" curl -sS --max-time 30 -o /dev/null -D - "$@" | tr -d '\r'; }
	for url in "$uri" "$uri/task" "$uri/taskWithTags" "http://169.254.170.2/nothing"; do
		head "$url" >"$LAB_DIR/head"
		cat "$LAB_DIR/head"
		grep -qx 'X-Rate-Limit-Limit: 1000.00' "$LAB_DIR/head"
		grep -qx 'X-Rate-Limit-Duration: 1' "$LAB_DIR/head"
		grep -qE '^X-Rate-Limit-Request-Forwarded-For: *$' "$LAB_DIR/head"
		grep -qE '^X-Rate-Limit-Request-Remote-Addr: 172\.31\.240\.[0-9]+:[0-9]+$' "$LAB_DIR/head"
	done
	head --path-as-is "http://169.254.170.2//v4/x/..${path#/v4}/" >"$LAB_DIR/head"
	grep -q '^HTTP/1.1 301' "$LAB_DIR/head"
	grep -qx "Location: $path/" "$LAB_DIR/head"
	[ "$(inside "$APP" curl -sSL --path-as-is "http://169.254.170.2/v4/.//${path#/v4/}" | jq -r .Name)" = main ]
	# HEAD is GET without the body; two requests go over one connection.
	head -I "$uri" | grep -q '^HTTP/1.1 200'
	[ "$(inside "$APP" curl -sS -o /dev/null -o /dev/null -w '%{num_connects}' "$uri" "$uri/task")" = 10 ]
	# A method that nobody asked for is no reason, as in the reference, but for task protection.
	[ "$(inside "$APP" curl -sS -X POST -d '{}' "$uri" | jq -r .Name)" = main ]
	head -X DELETE "$(variable "$APP" ECS_AGENT_URI)/task-protection/v1/state" | grep -q '^HTTP/1.1 405'
	/usr/bin/head -c 40000 /dev/zero | tr '\0' a >"$LAB_DIR/long"
	head "http://169.254.170.2/$(/usr/bin/head -c 30000 "$LAB_DIR/long")" | grep -qE '^HTTP/1.1 (404|414|431)'
	/usr/bin/head -c 90000 /dev/zero >"$LAB_DIR/large"
	head -H 'Expect:' --data-binary "@$LAB_DIR/large" "$uri" | grep -q '^HTTP/1.1 413'
	head -H 'Expect:' -H 'Transfer-Encoding: chunked' --data-binary "@$LAB_DIR/large" "$uri" | grep -q '^HTTP/1.1 413'
	run ! inside "$APP" sh -c "yes | curl -sS --max-time 30 -T - -o /dev/null '$uri'"
	[ "$status" != 28 ] # the server gave up, not curl
	has_credentials "$APP" "$(variable "$APP" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)"
}

@test "one that floods the server delays nobody else, and is not refused" {
	uri=$(variable "$OTHER" ECS_CONTAINER_METADATA_URI_V4)
	inside "$APP" ab -q -k -c 60 -t 8 -n 1000000 "$(variable "$APP" ECS_CONTAINER_METADATA_URI_V4)/task" >"$LAB_DIR/flood" 2>&1 3>&- &
	flood=$!
	sleep 2
	inside "$OTHER" ab -q -n 300 "$uri/task" >"$LAB_DIR/other"
	wait "$flood"
	grep -E 'Complete|Failed|Non-2xx|Requests per|99%' "$LAB_DIR/flood" "$LAB_DIR/other"
	run ! grep -q Non-2xx "$LAB_DIR/flood"
	[ "$(awk '/^Complete requests/ { print $3 }' "$LAB_DIR/other")" = 300 ]
	[ "$(awk '/^Failed requests/ { print $3 }' "$LAB_DIR/other")" = 0 ]
	[ "$(awk '$1 == "99%" { print $2 }' "$LAB_DIR/other")" -lt $((200 * ${LAB_SLOW:-1})) ] # ms
	# 500 at once and 1,000 a second are its share.
	[ "$(awk '/^Complete requests/ { print $3 }' "$LAB_DIR/flood")" -lt 9500 ]
}

@test "a container finds itself described in a file, which it cannot change" {
	file=$(variable "$APP" ECS_CONTAINER_METADATA_FILE)
	[[ $file == /opt/ecs/metadata/*/ecs-container-metadata.json ]]
	root=/proc/$(container_pid "$APP" main)/root
	"$BATS_TEST_DIRNAME/check-schema.py" metadata_file <"$root$file"
	[ "$(jq -r '[.TaskARN, .ContainerName, .MetadataFileStatus, .TaskDefinitionFamily] | join(" ")' "$root$file")" = "$APP main READY app" ]
	[ "$(jq -r .ContainerID "$root$file")" = "$(ask "$APP" "/v4/$(basename "$(dirname "$file")")" | /usr/bin/head -1 | jq -r .DockerId)" ]
	grep -qE " ${file%/*} ro[, ]" "/proc/$(container_pid "$APP" main)/mountinfo"
	[ "$(stat -c %a "$root$file")" = 644 ]
}

@test "introspection answers by the schemas" {
	arn=$APP
	local check=$BATS_TEST_DIRNAME/check-schema.py base=http://127.0.0.1:51678/v1
	curl -fsS "$base/metadata" | "$check" introspection_metadata
	curl -fsS "$base/tasks" | "$check" introspection_tasks
	curl -fsS "$base/tasks?taskarn=$arn" | tee "$LAB_DIR/answer" | "$check" introspection_task
	curl -fsS "$base/tasks?dockerid=$(jq -r '.Containers[0].DockerId' "$LAB_DIR/answer")" | "$check" introspection_task
}

@test "a task protects itself by its role and sees its tags; one without a role may not" {
	register_script bare 'sleep 600'
	arn=$APP
	bare=$(run_task bare)
	until_status "$bare" RUNNING 60
	protect() { # arn [body]: prints the answer, then the status
		local url
		url=$(variable "$1" ECS_AGENT_URI)/task-protection/v1/state
		inside "$1" curl -sS --max-time 30 -w '\n%{http_code}\n' ${2:+-X PUT -d "$2"} "$url" >"$LAB_DIR/answer"
		head -1 "$LAB_DIR/answer" | "$BATS_TEST_DIRNAME/check-schema.py" protection
		jq -c . < <(head -1 "$LAB_DIR/answer")
		tail -1 "$LAB_DIR/answer"
	}
	[ "$(protect "$arn")" = '{"protection":{"ExpirationDate":null,"ProtectionEnabled":false,"TaskArn":"'"$arn"$'"}}\n200' ]
	[ "$(protect "$arn" '{"ProtectionEnabled":true,"ExpiresInMinutes":60}' | tail -1)" = 200 ]
	[ "$(jq -r '.protection | [.ProtectionEnabled, .TaskArn] | join(" ")' < <(head -1 "$LAB_DIR/answer"))" = "true $arn" ]
	[ "$(lab_aws get-task-protection --cluster lab --tasks "$arn" --query 'protectedTasks[0].protectionEnabled')" = true ]
	[ "$(protect "$arn" '{"ProtectionEnabled":true,"ExpiresInMinutes":9999}' | tail -1)" = 400 ]
	[ "$(jq -r .error.Code < <(head -1 "$LAB_DIR/answer"))" = InvalidParameterException ]
	[ "$(protect "$arn" '{"ProtectionEnabled":false}' | tail -1)" = 200 ]
	[ "$(protect "$arn" '{"Protection":true}')" = '{"error":{"Code":"InvalidParameterException","Message":"UpdateTaskProtection: failed to decode request"}}'$'\n400' ]
	[ "$(protect "$arn" '{}' | tail -1)" = 400 ]
	[ "$(protect "$bare" | tail -1)" = 403 ]
	uri=$(variable "$arn" ECS_AGENT_URI)
	[ "$(inside "$bare" curl -sS "$uri/task-protection/v1/state" | jq -r .error.Code)" = ResourceNotFoundException ]

	id=${uri##*/}
	conforms "$arn" "/v4/$id/taskWithTags" task_v4
	jq -e '.TaskTags == {team: "blue"} and (has("Errors") | not)' <<<"$body"
	conforms "$arn" "/v3/$id/taskWithTags" task_v3
	conforms "$arn" /v2/metadataWithTags task_v3
}
