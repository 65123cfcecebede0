#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sessions - registration, ACS, TCS and reports of the agent against the real control plane, driven by
# the AWS CLI, on loopback. Prints TAP. Needs no privileges.
set -u
build=${abs_top_builddir:-.}
aws_cli=${abs_top_srcdir:-.}/tests/aws-cli.py
dir=$(mktemp -d "${TMPDIR:-/tmp}/ecs-sessions.XXXXXX")
here=${abs_top_srcdir:-.}/tests/integration/sessions
export AWSCLI_SOCKET=$dir/aws.sock
cp_pid='' peer_pid='' relay_pid='' port=0 n=0 failed=0

finish() {
	for pid in $peer_pid $cp_pid $relay_pid; do
		kill "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	[ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT

for tool in aws curl openssl /usr/bin/python3; do
	command -v "$tool" >/dev/null || { echo "1..0 # SKIP $tool is missing"; exit 77; }
done

ok() { # RESULT NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		failed=1
		echo "not ok $n - $2"
		sed 's/^/# agent: /' "$dir"/peer.out "$dir"/peer.err | tail -n 15
		tail -n 8 "$dir/cp.log" | sed 's/^/# control plane: /'
	fi
}

until_true() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

start_cp() {
	rm -f "$dir/port"
	"$build/ecs-controlplane" --listen "127.0.0.1:$port" --data "$dir/cp" --region us-west-2 \
		--credentials "$dir/keys" --heartbeat-seconds 2 --fault-injection --print-port \
		>"$dir/port" 2>>"$dir/cp.log" &
	cp_pid=$!
	until_true 10 test -s "$dir/port" || return 1
	port=$(cat "$dir/port")
	export ECS_BACKEND_HOST=http://127.0.0.1:$port
}

start_peer() { # [SAVED-ARN]
	: >"$dir/peer.out"
	# --foreground: else timeout follows its TERM with CONT, which swallows the STOP that
	# LeakSanitizer waits for at exit.
	timeout --foreground -k 5 120 "$build/tests/integration/sessions/session-peer" "$@" >"$dir/peer.out" 2>"$dir/peer.err" &
	peer_pid=$!
}

stop_peer() { # sets $status
	kill "$peer_pid"
	wait "$peer_pid"
	status=$?
	peer_pid=''
}

ecs() {
	"$aws_cli" --endpoint-url "http://127.0.0.1:$port" --output text ecs "$@"
}

fault() {
	curl -sf -X POST -d "$1" "http://127.0.0.1:$port/local/fault" >/dev/null
}

heard() { # TEXT: how often the agent said so
	grep -c "$1" "$dir/peer.out"
}

heard_more() { # TEXT THAN
	[ "$(heard "$1")" -gt "$2" ]
}

telemetry_has() {
	curl -s "http://127.0.0.1:$port/local/telemetry" | grep -q "$1"
}

run_task() {
	task=$(ecs run-task --cluster lab --task-definition web --query 'tasks[0].taskArn')
	ecs wait tasks-running --cluster lab --tasks "$task"
}

export AWS_ACCESS_KEY_ID=AKIDSESSIONS AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-west-2
export AWS_EC2_METADATA_DISABLED=true ECS_CLUSTER=lab AWS_MAX_ATTEMPTS=5
echo "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY" >"$dir/keys"

start_cp
ok $? "the control plane serves, and demands signatures"
ecs create-cluster --cluster-name lab >/dev/null &&
	ecs register-task-definition --family web --container-definitions \
		'[{"name":"web","image":"none","memory":16,"essential":true}]' >/dev/null
ok $? "a cluster and a task definition are there"

start_peer
until_true 10 grep -q '^registered .* lab$' "$dir/peer.out" && until_true 10 heard_more 'acs connected' 0
ok $? "the agent registers and ACS connects, signed"
instance=$(sed -n 's/^registered \([^ ]*\) .*/\1/p' "$dir/peer.out")
[ "$(ecs describe-container-instances --cluster lab --container-instances "$instance" \
	--query 'containerInstances[0].agentConnected')" = True ]
ok $? "the control plane sees it connected"

run_task
ok $? "a task gets through, is acknowledged, and is reported RUNNING"
ecs stop-task --cluster lab --task "$task" >/dev/null && ecs wait tasks-stopped --cluster lab --tasks "$task"
ok $? "a stop gets through and is reported STOPPED"

before=$(heard 'acs disconnected')
for garbage in 'not json' '{}' '[1]' '{\"type\":5}' '{\"type\":\"Odd\",\"message\":{}}' \
	'{\"type\":\"PayloadMessage\",\"message\":{}}' '{\"type\":\"PayloadMessage\",\"message\":[]}'; do
	fault "{\"send\":\"$garbage\"}"
done
sleep 0.5
run_task && [ "$(heard 'acs disconnected')" = "$before" ] && grep -q 'Ignoring an ACS message' "$dir/peer.err"
ok $? "garbage frames are said and skipped, the connection holds and nothing is lost"

for how in '{"close":1000}' '{"close":1001}' '{"close":1011}' '{"drop":true}'; do
	sleep 1.2 # a connection that ends within a second counts as broken
	before=$(heard 'acs connected')
	fault "$how" && until_true 2 heard_more 'acs connected' "$before"
	ok $? "the agent reconnects at once after $how"
done

before=$(heard 'acs connected')
fault '{"close":1008}' && until_true 5 heard_more 'acs connected' "$before"
ok $? "any other close code only backs off"

fault '{"http":{"operation":"SubmitTaskStateChange","status":500,"count":4}}'
ecs stop-task --cluster lab --task "$task" >/dev/null && ecs wait tasks-stopped --cluster lab --tasks "$task"
ok $? "a report is repeated until it is answered"

run_task
until_true 50 telemetry_has '"taskArn":"'"$task"'"'
ok $? "metrics of a task arrive over TCS in signed frames"
until_true 30 telemetry_has 'ContainerRuntime'
ok $? "the runtime's status follows the heartbeats"
! telemetry_has '"refusedRequests":[1-9]'
ok $? "no telemetry was refused"

before=$(heard 'acs connected')
kill -9 "$cp_pid"
wait "$cp_pid" 2>/dev/null
sleep 3
start_cp && until_true 20 heard_more 'acs connected' "$before" && run_task
ok $? "the agent outlives a control plane that dies and comes back"

stop_peer
ok "$status" "SIGTERM ends it with 0, nothing leaks"

start_peer "$instance"
until_true 10 grep -q "^registered $instance lab$" "$dir/peer.out"
ok $? "a restart re-registers under the saved ARN"
stop_peer

ECS_CLUSTER=missing start_peer
wait "$peer_pid"
[ $? = 1 ] && grep -q ClusterNotFound "$dir/peer.out"
ok $? "a configured cluster that is missing is exit 1"
ECS_CLUSTER='' start_peer
until_true 10 grep -q '^registered .* default$' "$dir/peer.out"
ok $? "the default cluster is made when it is missing"
stop_peer
AWS_SECRET_ACCESS_KEY=wrong start_peer
wait "$peer_pid"
[ $? = 1 ] && grep -q 'not registered' "$dir/peer.out"
ok $? "a wrong key is exit 1"
peer_pid=''

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 \
	-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 2>/dev/null
/usr/bin/python3 "$here/tls-relay.py" "$port" "$dir/cert.pem" "$dir/key.pem" >"$dir/relay-port" &
relay_pid=$!
until_true 10 test -s "$dir/relay-port"
ECS_BACKEND_HOST=https://127.0.0.1:$(cat "$dir/relay-port")
PEER_CA_FILE=$dir/cert.pem start_peer
until_true 10 heard_more 'acs connected' 0 && run_task
ok $? "all of it works over TLS"
stop_peer
start_peer
until_true 10 grep -q 'certificate' "$dir/peer.err" && ! grep -q '^registered' "$dir/peer.out"
ok $? "a certificate nobody vouches for is refused"
stop_peer
echo "1..$n"
exit $failed
