#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ecs-controlplane against an independent agent (fake-agent.py) and the AWS CLI: registration, payloads,
# acks, state changes, telemetry, manifests, faults, and kill -9 of the server.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${abs_top_builddir:-$PWD}
server=$build/ecs-controlplane
aws=$top/tests/aws-cli.py python=/usr/bin/python3
[ -x "$server" ] || { echo "1..0 # SKIP $server is not built"; exit 77; }
$aws --version >/dev/null 2>&1 || { echo "1..0 # SKIP the AWS CLI is not installed"; exit 77; }
[ -x $python ] || { echo "1..0 # SKIP $python is missing"; exit 77; }

work=$(mktemp -d /tmp/cp-wire.XXXXXX)
server_pid='' agent_pid='' n=0
key=AKIDWIRETEST secret=wire/test+secret
export AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_DEFAULT_REGION=us-east-1 AWS_PAGER='' \
	AWSCLI_SOCKET=$work/aws.sock AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
unset AWS_SESSION_TOKEN AWS_PROFILE

# shellcheck disable=SC2317 # the trap calls it
finish() {
	[ -z "$agent_pid" ] || kill -9 "$agent_pid" 2>/dev/null
	[ -z "$server_pid" ] || kill -9 "$server_pid" 2>/dev/null
	wait 2>/dev/null
	if [ -n "${KEEP_WORK-}" ]; then echo "# kept $work"; else rm -rf "$work"; fi
}
trap finish EXIT

check() { # description command...
	local what=$1
	shift
	n=$((n + 1))
	if "$@" >"$work/check.log" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$work/check.log" | tail -n 10
		failed=$((failed + 1))
		[ $failed -lt 5 ] || { echo "Bail out! Too much fails."; exit 1; }
	fi
}
failed=0

ecs() { $aws --endpoint-url "http://127.0.0.1:$port" --output text ecs "$@"; }
tell() { timeout 5 bash -c 'printf "%s\n" "$1" >"$2"' - "$*" "$work/control"; }
count() { grep -c -- "$1" "$work/events" || true; } # events that match a basic regular expression
wait_count() { # at least how many, pattern, tenths of seconds
	local i
	for ((i = 0; i < ${3:-100}; i++)); do
		[ "$(count "$2")" -ge "$1" ] && return 0
		sleep 0.1
	done
	echo "only $(count "$2") of $1 events match $2"
	return 1
}
seen() { wait_count 1 "$@"; }
last() { grep -- "$1" "$work/events" | tail -n 1; }
field() { $python -c 'import json,sys; print(eval(sys.argv[1], {"e": json.loads(sys.stdin.readline())}))' "$1"; }
telemetry() { # a Python expression over t, the telemetry of our instance
	$python - "$port" "$1" <<'PY'
import json, sys, urllib.request
all = json.load(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/local/telemetry"))
t = list(all["instances"].values())[0]
print(eval(sys.argv[2], {"t": t}))
PY
}
fault() {
	$python - "$port" "$1" <<'PY'
import sys, urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/local/fault", sys.argv[2].encode()).read()
PY
}

start_server() { # port
	rm -f "$work/port"
	mkfifo "$work/port"
	"$server" --listen "127.0.0.1:$1" --data "$work/data" --credentials "$work/keys" --fault-injection \
		--heartbeat-seconds 2 --log-level debug --print-port >"$work/port" 2>>"$work/server.log" &
	server_pid=$!
	read -r port <"$work/port"
}
start_agent() {
	$python "$top/tests/integration/fake-agent.py" --endpoint "http://127.0.0.1:$port" --cluster wire \
		--state "$work/agent" --events "$work/events" --control "$work/control" --key $key --secret $secret &
	agent_pid=$!
}

echo "$key $secret" >"$work/keys"
mkfifo "$work/control"
: >"$work/events"
start_server 0
check "a cluster is created by the CLI" ecs create-cluster --cluster-name wire
check "a wrong secret is refused by name" bash -c "AWS_SECRET_ACCESS_KEY=wrong $aws --endpoint-url \
	http://127.0.0.1:$port ecs list-clusters 2>&1 | grep -q InvalidSignatureException"
start_agent
check "an agent registers, idempotently, its attributes echoed" seen '"event":"registered"'
check "ACS is opened" seen '"event":"acs-connected"'
check "TCS is opened" seen '"event":"tcs-connected"'
check "a manifest is sent on connect" seen '"type":"TaskManifestMessage"'
[ "$failed" = 0 ] || { echo "Bail out! The agent is not connected."; exit 1; }
instance=$(last '"registered"' | field 'e["arn"]')
connected() {
	[ "$(ecs describe-container-instances --cluster wire --container-instances "$instance" --query \
		'containerInstances[0].[agentConnected,versionInfo.agentVersion,versionInfo.agentHash]' | tr '\t' ' ')" = "$1" ]
}
check "the instance is connected, with the agent's version" connected "True 1.103.0 0a1b2c3d"

cat >"$work/web.json" <<'JSON'
{"family":"web","taskRoleArn":"arn:aws:iam::123456789012:role/web","containerDefinitions":[{"name":"web",
 "image":"127.0.0.1:5000/nginx:1","memory":64,"cpu":128,"user":"33","portMappings":[{"containerPort":80}],
 "environment":[{"name":"A","value":"1"}],"healthCheck":{"command":["CMD","true"]}}]}
JSON
check "a task definition is registered" ecs register-task-definition --cli-input-json "file://$work/web.json"

tell ack off
sleep 0.3
check "a task is run" bash -c "$(declare -f ecs); aws=$aws port=$port; ecs run-task --cluster wire --task-definition \
	web --overrides '{\"containerOverrides\":[{\"name\":\"web\",\"command\":[\"x\"]}]}' --query 'tasks[0].taskArn' \
	>$work/task"
task=$(cat "$work/task")
check "it arrives as a payload" seen '"type":"PayloadMessage"'
payload() { last '"type":"PayloadMessage"' | field "$1"; }
check_payload() { [ "$(payload 'e["message"]["tasks"][0]'"$1")" = "$2" ] || { payload "e['message']"; return 1; }; }
check "the payload names the task" check_payload '["arn"]' "$task"
check "its environment has AWS_EXECUTION_ENV" check_payload '["containers"][0]["environment"]["AWS_EXECUTION_ENV"]' AWS_ECS_EC2
check "its command override is a string" check_payload '["containers"][0]["overrides"]' '{"command":["x"]}'
check "it carries role credentials" check_payload '["roleCredentials"]["roleArn"]' arn:aws:iam::123456789012:role/web
check "a payload that is not acked is sent again" wait_count 2 '"type":"PayloadMessage"' 90
unchanged() { [ "$(grep '"type":"PayloadMessage"' "$work/events" | sort -u | wc -l)" = 1 ]; }
check "with the same content" unchanged
tell ack on
check "and again until it is acked" wait_count 3 '"type":"PayloadMessage"' 150
sleep 0.5
before=$(count '"type":"PayloadMessage"')

tell submit "$(printf '{"task":"%s","status":"RUNNING","reason":"","containers":[{"containerName":"web","runtimeId":"abc","status":"RUNNING","networkBindings":[{"bindIP":"0.0.0.0","containerPort":80,"hostPort":32768,"protocol":"tcp"}]}]}' "$task")"
check "RUNNING is acknowledged" seen '"acknowledgment":"ACK"'
check "aws ecs wait tasks-running returns" timeout 30 $aws --endpoint-url "http://127.0.0.1:$port" ecs wait tasks-running \
	--cluster wire --tasks "$task"
described() { [ "$(ecs describe-tasks --cluster wire --tasks "$task" --query "tasks[0].$1")" = "$2" ]; }
check "describe-tasks shows the binding" described 'containers[0].networkBindings[0].hostPort' 32768

bad_call() { # description operation JSON pattern
	local have
	have=$(count "$4")
	tell call "$2" "$3"
	check "$1" wait_count $((have + 1)) "$4"
}
bad_call "a state change with a wrong type is refused by member" SubmitTaskStateChange \
	"{\"cluster\":\"wire\",\"task\":\"$task\",\"status\":7}" 'InvalidParameterException.*status: must be a string'
bad_call "a registration without resources is refused" RegisterContainerInstance '{"cluster":"wire"}' \
	'InvalidParameterException.*totalResources: missing'
bad_call "an unknown cluster is refused" DiscoverPollEndpoint '{"cluster":"nowhere"}' ClusterNotFoundException

tell tcs PublishMetricsRequest '{"metadata":{"messageId":"m0","idle":true,"fin":true}}'
check "an idle round is acked" seen '"type":"AckPublishMetric"'
set='{"min":1.0,"max":2.0,"sum":3.0,"sampleCount":2}'
metrics() { printf '{"metadata":{"messageId":"%s","idle":false,"fin":true},"taskMetrics":[{"taskArn":"%s","taskDefinitionFamily":"web","taskDefinitionVersion":"1","containerMetrics":[{"containerName":"web","cpuStatsSet":%s,"memoryStatsSet":%s}]}]}' "$1" "$task" "$2" "$set"; }
tell tcs PublishMetricsRequest "$(metrics m1 "$set")"
check "metrics of a container are acked" wait_count 2 '"type":"AckPublishMetric"'
show_cpu() { [ "$(telemetry "t['containers']['$task/web']['cpuStatsSet']['max']")" = 2.0 ]; }
check "and shown at /local/telemetry" show_cpu
tell tcs PublishMetricsRequest "$(metrics m2 '{"min":1.0,"max":2.0,"sum":30.0,"sampleCount":2}')"
check "an impossible statistics set is refused by name" seen 'cpuStatsSet: sum 30 is impossible.*InvalidParameterException'
tell tcs-badsig PublishMetricsRequest "$(metrics m3 "$set")"
check "a frame with a wrong signature is refused" seen '"tcs","message":{"message":"The request signature'
tell tcs-raw 'no header block'
check "a frame without header block is refused" seen 'header block: no empty line'
refused() { [ "$(telemetry "t['refusedRequests']")" = 3 ]; }
check "refusals are counted" refused
tell tcs PublishHealthRequest "$(printf '{"metadata":{"messageId":"h","fin":true},"tasks":[{"taskArn":"%s","taskDefinitionFamily":"web","taskDefinitionVersion":"1","containers":[{"containerName":"web","healthStatus":"HEALTHY","statusSince":1746802070.5}]}]}' "$task")"
check "health is acked" seen '"type":"AckPublishHealth"'
check "and describe-tasks shows it" described healthStatus HEALTHY
tell tcs PublishInstanceStatusRequest '{"metadata":{"requestId":"r"},"statuses":[{"type":"ContainerRuntime","status":"OK","lastUpdated":1,"lastStatusChange":1}]}'
check "instance status is acked" seen '"type":"AckPublishInstanceStatus"'

check "heartbeats come over ACS" wait_count 2 '"type":"HeartbeatMessage"'
tell acs-raw 'garbage {'
check "a garbage ACS frame is answered with BadRequestException" seen '"BadRequestException":"JSON'
tell verify "$task"
check "a task that runs is not to stop" seen '"type":"TaskStopVerificationAck"'
verdict() { [ "$(last TaskStopVerificationAck | field 'len(e["message"]["stopTasks"])')" = "$1" ]; }
check "its verification lists nothing" verdict 0
tell verify "${task%/*}/00000000000000000000000000000000"
check "an unknown task is verified" wait_count 2 '"type":"TaskStopVerificationAck"'
check "as one to stop" verdict 1

manifests=$(count '"type":"TaskManifestMessage"')
tell acs-close
check "after a reconnect a new manifest comes" wait_count $((manifests + 1)) '"type":"TaskManifestMessage"'
lists_task() { last '"type":"TaskManifestMessage"' | field '[t["taskArn"] for t in e["message"]["tasks"]]' | grep -q "$task"; }
check "which lists the task" lists_task
rising() { grep '"type":"TaskManifestMessage"' "$work/events" | $python -c '
import json, sys
t = [json.loads(l)["message"]["timeline"] for l in sys.stdin]
sys.exit(t != sorted(set(t)))'; }
check "manifest timelines rise" rising
not_again() { [ "$(count '"type":"PayloadMessage"')" = "$before" ]; }
check "what was acked is not sent again" not_again
tell acs-second
check "a newer connection closes the older with 1008" seen '"event":"acs-closed","why":"close 1008"'
sleep 0.5

closes=$(count '"event":"acs-closed"')
tell heartbeat-ack off
check "a heartbeat that is not acked ends the session" wait_count $((closes + 1)) '"event":"acs-closed"' 80
tell heartbeat-ack on
sleep 0.5
frames=$(count '"event":"bad-frame"')
fault '{"send":"{{{ not json"}'
check "an injected frame arrives" wait_count $((frames + 1)) '"event":"bad-frame"'
fault '{"http":{"operation":"DiscoverPollEndpoint","status":503,"count":1}}'
tell call DiscoverPollEndpoint '{"cluster":"wire"}'
check "an injected HTTP fault is served" seen '"operation":"DiscoverPollEndpoint","status":503'
resets=$(count '"event":"acs-closed"')
fault '{"drop":true}'
check "an injected reset drops the connection" wait_count $((resets + 1)) '"event":"acs-closed"'

# kill -9, same data: everything is still known.
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null
connects=$(count '"event":"acs-connected"')
start_server "$port"
check "the agent reconnects after kill -9 of the server" wait_count $((connects + 1)) '"event":"acs-connected"'
check "the task is still RUNNING" described lastStatus RUNNING
sleep 0.5
check "no payload is repeated after the restart" not_again

check "the task is stopped by the CLI" ecs stop-task --cluster wire --task "$task"
check "which arrives as a payload" wait_count $((before + 1)) '"type":"PayloadMessage"'
check "with desiredStatus STOPPED" check_payload '["desiredStatus"]' STOPPED
risen() { grep '"type":"PayloadMessage"' "$work/events" | $python -c '
import json, sys
s = [json.loads(l)["message"]["seqNum"] for l in sys.stdin]
sys.exit(s != sorted(s) or s[-1] <= s[0])'; }
check "and a higher seqNum" risen
tell submit "$(printf '{"task":"%s","status":"STOPPED","reason":"","executionStoppedAt":1746802078.031,"containers":[{"containerName":"web","runtimeId":"abc","status":"STOPPED","exitCode":143}]}' "$task")"
check "aws ecs wait tasks-stopped returns" timeout 30 $aws --endpoint-url "http://127.0.0.1:$port" ecs wait tasks-stopped \
	--cluster wire --tasks "$task"
check "describe-tasks shows the exit code" described 'containers[0].exitCode' 143

closes=$(count '"event":"acs-closed","why":"close 1001"')
tcs_closes=$(count '"event":"tcs-closed","why":"close 1001"')
kill "$server_pid"
wait "$server_pid"
check "SIGTERM ends the server with 0" [ $? = 0 ]
check "the agent is told by close code 1001 on ACS" wait_count $((closes + 1)) '"event":"acs-closed","why":"close 1001"'
check "and on TCS" wait_count $((tcs_closes + 1)) '"event":"tcs-closed","why":"close 1001"'
connects=$(count '"event":"acs-connected"')
start_server "$port"
check "the agent reconnects to the next server" wait_count $((connects + 1)) '"event":"acs-connected"'

check "the instance is deregistered" ecs deregister-container-instance --cluster wire --container-instance "$instance"
check "its agent hears InactiveInstanceException" seen 'InactiveInstanceException'
check "and is refused when it reconnects" seen '"event":"acs-refused".*InactiveInstanceException'

tell quit
echo "1..$n"
[ $failed = 0 ]
