#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What tasks find at 169.254.170.2: their roles' credentials, and nobody else's.

ROLE=arn:aws:iam::123456789012:role/app
BRIDGE=172.31.240.1

setup_file() {
	load helper
	export LAB_CONTROLPLANE_ADDR=0.0.0.0:8080 # tasks on the bridge ask it, too
	lab_up
	register_script app 'sleep 600' && register_role app "$ROLE"
}
teardown_file() {
	load helper
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

# The newest revision of a family once more, with a role: register_role FAMILY ROLE [NETWORK-MODE]
register_role() {
	lab_aws describe-task-definition --task-definition "$1" |
		jq --arg role "$2" --arg mode "${3:-bridge}" '.taskDefinition
			| {family, containerDefinitions, taskRoleArn: $role, networkMode: $mode}' >"$LAB_DIR/role.json"
	lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/role.json" >/dev/null
}

# Runs a command as a process of a task's container would: with its environment, in its network.
inside() { # arn command...
	local pid env=()
	pid=$(container_pid "$1" main)
	mapfile -d '' -t env <"/proc/$pid/environ"
	shift
	nsenter --net="/proc/$pid/ns/net" env -i "${env[@]}" PATH=/usr/bin:/bin "$@"
}
variable() { inside "$1" printenv "$2"; } # arn name
ask() {                                   # arn path: prints the body, then the status
	inside "$1" curl -sS --max-time 10 -w '\n%{http_code}\n' "http://169.254.170.2$2"
}
has_credentials() { [ "$(ask "$1" "$2" | tail -1)" = 200 ]; } # arn path

@test "a task's SDK finds its role's credentials, and the control plane verifies what it signs" {
	arn=$(run_task app)
	until_status "$arn" RUNNING 60
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
	stop_task "$arn"
}

@test "another task's id is an unknown id, also at the agent's own port and with a forged source" {
	owner=$(run_task app)
	thief=$(run_task app)
	until_status "$owner" RUNNING 60
	until_status "$thief" RUNNING 60
	uri=$(variable "$owner" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	has_credentials "$owner" "$uri"
	refused='{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}'
	[ "$(ask "$thief" "$uri")" = "$refused"$'\n400' ]
	run inside "$thief" curl -sS --max-time 10 "http://$BRIDGE:51679$uri"
	[ "$output" = "$refused" ]
	run curl -sS --max-time 10 "http://127.0.0.1:51679$uri" # nor may the host's own namespace
	[ "$output" = "$refused" ]
	run ! inside "$thief" curl -sS --max-time 2 "http://127.0.0.1:51679$uri"
	# Its neighbour's address as a source: the answers go to the neighbour.
	address=$(inside "$owner" ip -4 -j addr show dev eth0 | jq -r '.[0].addr_info[0].local')
	inside "$thief" ip addr add "$address/32" dev lo
	run ! inside "$thief" curl -sS --max-time 2 --interface "$address" "http://169.254.170.2$uri"
	stop_task "$owner"
	stop_task "$thief"
}

@test "credentials come back after a crash of the agent at the same place, and no log has the id" {
	arn=$(run_task app)
	until_status "$arn" RUNNING 60
	uri=$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	lab_stop agent KILL
	lab_resume_agent agent
	lab_wait 60 "the credentials to come back" has_credentials "$arn" "$uri"
	[ "$(ask "$arn" /v2/credentials/ | tail -1)" = 400 ]
	[ "$(ask "$arn" /v2/credentials/no-such-id | head -1 | jq -r .code)" = InvalidIdInRequest ]
	[ "$(ask "$arn" "/v1/credentials?id=${uri##*/}" | tail -1)" = 200 ]
	[ "$(ask "$arn" /v9)" = $'404 page not found\n\n404' ]
	stop_task "$arn"
	until_status "$arn" STOPPED 60
	run ! grep -F "${uri##*/}" "$LAB_DIR/agent.log"
}

@test "a task in host mode has its role's credentials, too" {
	register_role app "$ROLE" host
	arn=$(run_task app)
	until_status "$arn" RUNNING 60
	has_credentials "$arn" "$(variable "$arn" AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)"
	stop_task "$arn"
}
