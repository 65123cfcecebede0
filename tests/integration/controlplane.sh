#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The control plane under the unmodified AWS CLI: every operation's answers, errors, waiters and
# pages, and its memory across kill -9. Agents are played by the CLI's own agent-side commands and a
# WebSocket held open by the shell. No root needed.
set -u

top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
aws=$top/tests/aws-cli.py
builddir=${abs_top_builddir:-$PWD}
program=$builddir/ecs-controlplane

skip_all() {
	echo "1..0 # SKIP $1"
	exit 77
}

"$aws" --version >/dev/null 2>&1 || skip_all "the AWS CLI is not installed"
[ -x "$program" ] || skip_all "$program is not built"
command -v jq >/dev/null || skip_all "jq is not installed"
command -v curl >/dev/null || skip_all "curl is not installed"

dir=$(mktemp -d) || exit 1
pid=
n=0
bad=0

export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1
export AWSCLI_SOCKET=$dir/aws.sock AWS_PAGER='' AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_MAX_ATTEMPTS=1 AWS_EC2_METADATA_DISABLED=true
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY AWS_SESSION_TOKEN

finish() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

start() {
	: >"$dir/port"
	"$program" --listen "127.0.0.1:${port:-0}" --data "$dir/data" --ready-fd 3 "$@" \
		3>"$dir/port" 2>>"$dir/log" &
	pid=$!
	for _ in $(seq 100); do
		[ -s "$dir/port" ] && break
		sleep 0.05
	done
	port=$(cat "$dir/port")
	[ -n "$port" ] || { cat "$dir/log"; echo "Bail out! the server does not start"; exit 1; }
}

ecs() {
	"$aws" --endpoint-url "http://127.0.0.1:$port" --no-cli-pager --output json ecs "$@"
}

result() { # STATUS DESCRIPTION
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		bad=$((bad + 1))
		echo "not ok $n - $2"
		cat "$dir/out" "$dir/err" | head -n 40 | sed 's/^/# /'
	fi
}

# yes DESCRIPTION JQ-CONDITION ARGUMENT...: the command succeeds and its answer is so.
yes() {
	local what=$1 condition=$2

	shift 2
	: >"$dir/err"
	ecs "$@" >"$dir/out" 2>"$dir/err" && jq -e "$condition" <"$dir/out" >/dev/null
	result $? "$what"
}

# no DESCRIPTION ERROR TEXT ARGUMENT...: the command fails with that error and text.
no() {
	local what=$1 error=$2 text=$3

	shift 3
	: >"$dir/out"
	! ecs "$@" >"$dir/out" 2>"$dir/err" && grep -q "($error)" "$dir/err" &&
		grep -qF -- "$text" "$dir/err"
	result $? "$what"
}

get() { # JQ-PATH of the last answer
	jq -r "$1" <"$dir/out"
}

container='[{"name":"web","image":"nginx","memory":64,"portMappings":[{"containerPort":80}]}]'
resources='[{"name":"CPU","type":"INTEGER","integerValue":2048},
	{"name":"MEMORY","type":"INTEGER","integerValue":1000},
	{"name":"PORTS","type":"STRINGSET","stringSetValue":["22"]},
	{"name":"PORTS_UDP","type":"STRINGSET","stringSetValue":[]}]'

# An agent's ACS session: the upgrade is asked for and the socket stays open as descriptor 9.
connect_agent() { # INSTANCE-ARN
	local date line

	date=$(date -u +%Y%m%dT%H%M%SZ)
	exec 9<>"/dev/tcp/127.0.0.1/$port" || return 1
	printf '%s\r\n' "GET /acs/ws?agentHash=00000000&agentVersion=1.0.0&clusterArn=web&containerInstanceArn=$(
		jq -rn --arg a "$1" '$a|@uri')&protocolVersion=2&sendCredentials=true&seqNum=1 HTTP/1.1" \
		"Host: 127.0.0.1:$port" 'Upgrade: websocket' 'Connection: Upgrade' \
		'Sec-WebSocket-Version: 13' 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
		"X-Amz-Date: $date" \
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${date%T*}/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=$(printf '%064d' 0)" '' >&9
	IFS= read -r -t 5 line <&9 || return 1
	[[ $line == 'HTTP/1.1 101'* ]]
}

start

# --- clusters ---------------------------------------------------------------------------------
yes 'a cluster is created' '.cluster.status == "ACTIVE" and .cluster.clusterName == "web"' \
	create-cluster --cluster-name web --tags key=a,value=b
yes 'creating it again is the same' '.cluster.clusterArn | endswith(":cluster/web")' \
	create-cluster --cluster-name web
yes 'the default cluster needs no name' '.cluster.clusterName == "default"' create-cluster
yes 'clusters are listed' '.clusterArns | length == 2' list-clusters
yes 'the CLI pages through clusters' '.clusterArns | length == 2' list-clusters --page-size 1
yes 'a page says where to go on' '(.clusterArns | length == 1) and .NextToken' \
	list-clusters --max-items 1
yes 'clusters are described, absent ones are failures' \
	'(.clusters[0].registeredContainerInstancesCount == 0) and .failures[0].reason == "MISSING"
	and .clusters[0].tags[0].key == "a"' \
	describe-clusters --clusters web nope --include TAGS
no 'a bad name is refused' InvalidParameterException 'Invalid identifier' \
	create-cluster --cluster-name 'a b'

# --- task definitions ---------------------------------------------------------------------------
yes 'a task definition is registered with its defaults' \
	'.taskDefinition | .revision == 1 and .status == "ACTIVE" and
	.containerDefinitions[0].essential and .containerDefinitions[0].portMappings[0].hostPort == 0
	and .compatibilities == ["EXTERNAL", "EC2"] and (.registeredAt | type == "string" or type == "number")' \
	register-task-definition --family web --container-definitions "$container"
yes 'the next is revision 2' '.taskDefinition.revision == 2' \
	register-task-definition --family web --container-definitions "$container"
no 'a container without memory is refused' ClientException \
	"At least one of 'memory' or 'memoryReservation' must be specified." \
	register-task-definition --family x --container-definitions '[{"name":"a","image":"i"}]'
yes 'a family stands for its newest revision' '.taskDefinition.revision == 2' \
	describe-task-definition --task-definition web
yes 'a revision is found' '.taskDefinition.revision == 1' \
	describe-task-definition --task-definition web:1
no 'an unknown one is not' ClientException 'Unable to describe task definition.' \
	describe-task-definition --task-definition nope
yes 'definitions are listed newest first' '.taskDefinitionArns[0] | endswith("web:2")' \
	list-task-definitions --family-prefix web --sort DESC
yes 'families are listed' '.families == ["web"]' list-task-definition-families
yes 'a revision is deregistered' '.taskDefinition.status == "INACTIVE"' \
	deregister-task-definition --task-definition web:1
yes 'and listed as such' '.taskDefinitionArns | length == 1' list-task-definitions --status INACTIVE

# --- instances ----------------------------------------------------------------------------------
no 'nothing runs without instances' InvalidParameterException \
	'No Container Instances were found in your cluster.' \
	run-task --cluster web --task-definition web
no 'an instance needs its cluster' ClusterNotFoundException 'Cluster not found.' \
	register-container-instance --cluster nope --total-resources "$resources"
yes 'an instance registers and its attributes come back' \
	'.containerInstance | .status == "ACTIVE" and (.attributes[0] == {"name":"disk","value":"ssd"})
	and .remainingResources[1].integerValue == 1000' \
	register-container-instance --cluster web --total-resources "$resources" \
	--attributes name=disk,value=ssd
instance=$(get .containerInstance.containerInstanceArn)
yes 'it registers again under its ARN' \
	".containerInstance.containerInstanceArn == \"$instance\"" \
	register-container-instance --cluster web --total-resources "$resources" \
	--container-instance-arn "$instance"
yes 'instances are listed' ".containerInstanceArns == [\"$instance\"]" \
	list-container-instances --cluster web
yes 'and filtered' '.containerInstanceArns == []' \
	list-container-instances --cluster web --filter 'attribute:disk != ssd'
no 'a bad filter is refused' InvalidParameterException 'Invalid filter' \
	list-container-instances --cluster web --filter 'attribute:disk =='
yes 'without an agent it takes no task' '.tasks == [] and .failures[0].reason == "AGENT"' \
	run-task --cluster web --task-definition web
no 'a cluster with instances stays' ClusterContainsContainerInstancesException 'Container Instances' \
	delete-cluster --cluster web
connect_agent "$instance"
result $? 'an agent connects'
yes 'and is seen' '.containerInstances[0] | .agentConnected and .versionInfo.agentVersion == "1.0.0"' \
	describe-container-instances --cluster web --container-instances "$instance"

# --- tasks ----------------------------------------------------------------------------------------
yes 'a task is placed' '(.failures == []) and (.tasks[0] | .lastStatus == "PENDING" and
	.desiredStatus == "RUNNING" and .containers[0].lastStatus == "PENDING" and
	.startedBy == "test" and .overrides.containerOverrides[0].command == ["x"])' \
	run-task --cluster web --task-definition web --started-by test \
	--overrides '{"containerOverrides":[{"name":"web","command":["x"]}]}'
task=$(get '.tasks[0].taskArn')
yes 'its resources are promised' '.containerInstances[0] | .pendingTasksCount == 1 and
	.remainingResources[1].integerValue == 936' \
	describe-container-instances --cluster web --container-instances "$instance"
no 'an unknown override is refused' InvalidParameterException \
	'Override for container named nope is not a container in the TaskDefinition.' \
	run-task --cluster web --task-definition web \
	--overrides '{"containerOverrides":[{"name":"nope"}]}'
yes 'too much is explained' '.tasks == [] and .failures[0].reason == "RESOURCE:MEMORY"' \
	run-task --cluster web --task-definition web \
	--overrides '{"containerOverrides":[{"name":"web","memory":2000}]}'
yes 'the agent reports it running' '.acknowledgment' \
	submit-task-state-change --cluster web --task "$task" --status RUNNING --reason '' \
	--containers '[{"containerName":"web","status":"RUNNING","networkBindings":[
	{"bindIP":"0.0.0.0","containerPort":80,"hostPort":32768,"protocol":"tcp"}]}]'
: >"$dir/out"
ecs wait tasks-running --cluster web --tasks "$task" >"$dir/out" 2>"$dir/err"
result $? 'the waiter sees it run'
yes 'with its network bindings' '.tasks[0] | .lastStatus == "RUNNING" and .startedAt and
	.connectivity == "CONNECTED" and .containers[0].networkBindings[0].hostPort == 32768' \
	describe-tasks --cluster web --tasks "$task"
yes 'the port is taken' '.containerInstances[0].remainingResources[2].stringSetValue == ["22", "32768"]' \
	describe-container-instances --cluster web --container-instances "$instance"
yes 'tasks are listed by family' '.taskArns | length == 1' \
	list-tasks --cluster web --family web --started-by test
yes 'tasks are listed by instance' '.taskArns | length == 1' \
	list-tasks --cluster web --container-instance "$instance"
no 'a busy instance stays' InvalidParameterException 'Found running tasks on the instance.' \
	deregister-container-instance --cluster web --container-instance "$instance"

# --- kill -9 --------------------------------------------------------------------------------------
kill -9 "$pid"
wait "$pid" 2>/dev/null
start
yes 'nothing is forgotten, only the agent is away' \
	'.tasks[0] | .lastStatus == "RUNNING" and .connectivity == "DISCONNECTED"' \
	describe-tasks --cluster web --tasks "$task"
connect_agent "$instance"
result $? 'the agent comes back'

yes 'a task is stopped by its user' '.task | .desiredStatus == "STOPPED" and .lastStatus == "RUNNING"' \
	stop-task --cluster web --task "$task" --reason 'enough'
yes 'again is the same' '.task.desiredStatus == "STOPPED"' stop-task --cluster web --task "$task"
no 'an unknown task is told' InvalidParameterException 'The referenced task was not found.' \
	stop-task --cluster web --task 0123456789abcdef0123456789abcdef
yes 'the agent reports it stopped' '.acknowledgment' \
	submit-task-state-change --cluster web --task "$task" --status STOPPED --reason '' \
	--containers '[{"containerName":"web","status":"STOPPED","exitCode":143}]'
: >"$dir/out"
ecs wait tasks-stopped --cluster web --tasks "$task" >"$dir/out" 2>"$dir/err"
result $? 'the waiter sees it stopped'
yes 'with code and reason' '.tasks[0] | .stopCode == "UserInitiated" and .stoppedReason == "enough"
	and .containers[0].exitCode == 143 and .stoppedAt and .stoppingAt' \
	describe-tasks --cluster web --tasks "$task"
yes 'it is listed as stopped' '.taskArns | length == 1' list-tasks --cluster web --desired-status STOPPED
yes 'its resources are free' '.containerInstances[0] | .runningTasksCount == 0 and
	.remainingResources[1].integerValue == 1000 and
	.remainingResources[2].stringSetValue == ["22"]' \
	describe-container-instances --cluster web --container-instances "$instance"
: >"$dir/out"
! ecs wait tasks-running --cluster web --tasks 0123456789abcdef0123456789abcdef \
	>"$dir/out" 2>"$dir/err"
result $? 'the waiter gives up on a missing task'

yes 'start-task names its instance' '.tasks[0].containerInstanceArn | endswith("'"${instance##*/}"'")' \
	start-task --cluster web --task-definition web --container-instances "$instance"
yes 'ten at once' '.tasks | length == 10' run-task --cluster web --task-definition web --count 10
yes 'pages of tasks come together' '.taskArns | length == 11' list-tasks --cluster web --page-size 4
yes 'tags are kept' 'true' list-tags-for-resource --resource-arn "$instance"
yes 'a draining instance takes nothing' '.containerInstances[0].status == "DRAINING"' \
	update-container-instances-state --cluster web --container-instances "$instance" \
	--status DRAINING
no 'as if it were not there' InvalidParameterException 'No Container Instances were found' \
	run-task --cluster web --task-definition web
yes 'force takes it away' '.containerInstance.status == "INACTIVE"' \
	deregister-container-instance --cluster web --container-instance "$instance" --force
yes 'and its tasks with it' '.taskArns == []' list-tasks --cluster web
yes 'the cluster can go' '.cluster.status == "INACTIVE"' delete-cluster --cluster web
no 'and is gone' ClusterNotFoundException 'Cluster not found.' list-tasks --cluster web

# --- the rest -------------------------------------------------------------------------------------
no 'load balancers are not offered, honestly' UnsupportedFeatureException loadBalancers \
	create-service --service-name s --task-definition web --desired-count 1 \
	--load-balancers loadBalancerName=l,containerName=c,containerPort=80
no 'nor are capacity providers' UnsupportedFeatureException DescribeCapacityProviders \
	describe-capacity-providers
yes 'DiscoverPollEndpoint leads back here' '.endpoint | startswith("http://127.0.0.1:")' \
	discover-poll-endpoint

# --- below the CLI --------------------------------------------------------------------------------
# http DESCRIPTION STATUS TEXT CURL-ARGUMENT...
http() {
	local what=$1 status=$2 text=$3

	shift 3
	: >"$dir/err"
	curl -sS -m 10 -i "$@" >"$dir/out" 2>"$dir/err"
	grep -q "^HTTP/1.1 $status " "$dir/out" && grep -qF -- "$text" "$dir/out" &&
		grep -qi '^x-amzn-RequestId: [0-9a-f-]\{36\}' "$dir/out"
	result $? "$what"
}

target='X-Amz-Target: AmazonEC2ContainerServiceV20141113'
url=http://127.0.0.1:$port/
head -c 5000000 /dev/zero >"$dir/big"
http 'a body over 4 MiB is refused' 413 RequestEntityTooLargeException \
	-H "$target.ListClusters" -H Expect: --data-binary "@$dir/big" "$url"
http 'a body that is no JSON is refused' 400 SerializationException \
	-H "$target.ListClusters" -d '{"a":' "$url"
http 'an unknown operation is told' 400 UnknownOperationException -H "$target.Nope" -d '{}' "$url"
http 'a request without target is told' 400 UnknownOperationException -d '{}' "$url"
http 'no other method is served' 405 UnknownOperationException -X DELETE "$url"
http 'nothing is at other paths' 404 UnknownOperationException "${url}nothing"
http 'health is asked for plainly' 200 ok "${url}health"

: >"$dir/out"
! "$program" --listen 127.0.0.1:0 --data "$dir/data" >"$dir/out" 2>"$dir/err" &&
	grep -q 'another ecs-controlplane uses' "$dir/err"
result $? 'a second server keeps off its data'

kill "$pid"
wait "$pid"
result $? 'SIGTERM ends it cleanly'

echo 'AKIDEXAMPLE secret' >"$dir/keys"
start --credentials "$dir/keys"
yes 'a good signature is let in' '.clusterArns | length == 1' list-clusters
AWS_SECRET_ACCESS_KEY=wrong no 'a bad signature is not' InvalidSignatureException 'signature' \
	list-clusters
AWS_ACCESS_KEY_ID=AKIDOTHER no 'nor an unknown key' UnrecognizedClientException '' list-clusters
kill "$pid"
wait "$pid"
pid=

echo "1..$n"
[ "$bad" = 0 ]
