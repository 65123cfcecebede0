#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container instance that has IPv6 and nothing else, in a network namespace behind a router. All it needs is on the
# router: control plane, registry, instance metadata. Region and keys come from there alone. At the IPv4 address of the
# metadata service somebody listens, too, on the instance itself, and is not to be asked.
# shellcheck disable=SC2034 # settings of the laboratory

HERE=fd00:199::1 THERE=fd00:199::2 IMDS4=169.254.169.254 IMDS6=fd00:ec2::254

setup_file() {
	load helper
	export HOST=ecs-e2e-six-$$ ETC_DIR
	ip link set lo up
	put_up
	ETC_DIR=$(mktemp -d /var/tmp/ecs-e2e-etc.XXXXXX)
	make_names
	printf '%s\n' 'local local' 'ASIABOOT secret t' >"$BATS_FILE_TMPDIR/keys"
	echo role >"$BATS_FILE_TMPDIR/mood"
	LAB_CONTROLPLANE_ADDR="[$THERE]:8080" LAB_CONTROLPLANE_NAME=ecs.test:8080
	LAB_CONTROLPLANE_ARGS=(--credentials "$BATS_FILE_TMPDIR/keys")
	LAB_AGENT_PREFIX=(nsenter "--net=/run/netns/$HOST")
	start_metadata
	lab_up AWS_EC2_METADATA_DISABLED=false AWS_DEFAULT_REGION= \
		AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY= ECS_EXCLUDE_IPV6_PORTBINDING=true
	start_registry
	register_script web 'trap "exit 0" TERM; while :; do sleep 0.2; done' '"portMappings":[{"containerPort":80,"hostPort":0}]'
	lab_aws describe-task-definition --task-definition web | jq '.taskDefinition | {family, containerDefinitions,
		taskRoleArn: "arn:aws:iam::123456789012:role/app"}' >"$LAB_DIR/web.json"
	lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/web.json" >/dev/null
	WEB=$(run_task web)
	export WEB
	until_status "$WEB" RUNNING 60
	answer_in "$WEB" 80
}
teardown_file() {
	load helper
	for pid in "$LAB_DIR"/peer-*.pid "$LAB_DIR"/tls.pid "$LAB_DIR"/away.pid; do
		lab_stop "$(basename "$pid" .pid)"
	done
	lab_down
	for pid in "$BATS_FILE_TMPDIR"/imds?.pid; do LAB_DIR=$BATS_FILE_TMPDIR lab_stop "$(basename "$pid" .pid)"; done
	ip netns delete "$HOST"
	umount /etc
	rm -rf "$ETC_DIR"
}
setup() {
	load helper
	LAB_AGENT_PREFIX=(nsenter "--net=/run/netns/$HOST")
}
teardown() { lab_report; }

# The cable from the router, which is here, to the instance. IPv4 is on no device of either but the loopback.
put_up() {
	ip netns add "$HOST"
	ip link add e2e-r type veth peer name wan0 netns "$HOST"
	ip address add $THERE/64 dev e2e-r nodad
	ip address add $IMDS6/128 dev lo
	ip link set e2e-r up
	on_host ip link set lo up
	on_host ip address add $IMDS4/32 dev lo
	plug_in
}
plug_in() {
	on_host ip address add $HERE/64 dev wan0 nodad
	on_host ip link set wan0 up
	on_host ip route add default via $THERE
}
on_host() { nsenter "--net=/run/netns/$HOST" "$@"; }

# Names that lead to IPv6 alone, and an authority for the registry's.
make_names() {
	mkdir "$ETC_DIR/up" "$ETC_DIR/work"
	mount -t overlay overlay -o "lowerdir=/etc,upperdir=$ETC_DIR/up,workdir=$ETC_DIR/work" /etc
	printf '%s\n' '127.0.0.1 localhost' "$THERE ecs.test registry.test" "$IMDS6 imds.test" >/etc/hosts
	mkdir -p /etc/docker/certs.d/registry.test
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=registry.test" \
		-addext subjectAltName=DNS:registry.test -keyout "$BATS_FILE_TMPDIR/tls.key" \
		-out /etc/docker/certs.d/registry.test/lab.crt 2>/dev/null
}
# Of both families; each has a log of what it was asked.
start_metadata() {
	local double=(/usr/bin/python3 "$BATS_TEST_DIRNAME/cloud-double.py")
	LAB_DIR=$BATS_FILE_TMPDIR lab_daemon imds6 "${double[@]}" $IMDS6:80 "$BATS_FILE_TMPDIR/mood"
	LAB_DIR=$BATS_FILE_TMPDIR lab_daemon imds4 nsenter "--net=/run/netns/$HOST" "${double[@]}" $IMDS4:80 "$BATS_FILE_TMPDIR/mood"
	lab_wait 10 "metadata over IPv6" on_host curl -fsS "http://[$IMDS6]/latest/meta-data/instance-id"
	lab_wait 10 "metadata over IPv4" on_host curl -fsS "http://$IMDS4/latest/meta-data/instance-id"
	forget_questions
}
# The laboratory's images once more, for others: over TLS.
start_registry() {
	cat >"$LAB_DIR/tls.yml" <<-YAML
		version: 0.1
		log: { level: warn }
		storage: { filesystem: { rootdirectory: $LAB_DIR/registry } }
		http: { addr: "registry.test:443", tls: { certificate: /etc/docker/certs.d/registry.test/lab.crt, key: $BATS_FILE_TMPDIR/tls.key } }
	YAML
	lab_daemon tls docker-registry serve "$LAB_DIR/tls.yml"
	lab_wait 20 "the registry" curl -kfsS https://registry.test/v2/
	echo registry.test >"$LAB_DIR/registry.addr"
}
forget_questions() { truncate -s 0 "$BATS_FILE_TMPDIR"/imds?.log; }
asked_over_ipv6_alone() { [[ -s $BATS_FILE_TMPDIR/imds6.log && ! -s $BATS_FILE_TMPDIR/imds4.log ]]; }
port() { describe "$WEB" '.containers[0].networkBindings[0].hostPort'; }
inside() { # command, as a process of the task's
	local env=()
	mapfile -d '' -t env <"/proc/$(container_pid "$WEB" main)/environ"
	in_task "$WEB" env -i "${env[@]}" PATH=/usr/bin:/bin:/sbin "$@"
}

@test "it finds out that it is IPv6-only, and joins by what it is told over IPv6" {
	grep -q "This host is IPv6-only" "$LAB_DIR/agent.log"
	asked_over_ipv6_alone
	lab_aws list-container-instances --cluster lab --query 'containerInstanceArns[0]' --output text >"$LAB_DIR/arn"
	[ "$(lab_aws describe-container-instances --cluster lab --container-instances "$(cat "$LAB_DIR/arn")" \
		--query 'containerInstances[0].ec2InstanceId' --output text)" = i-0123456789abcdef0 ]
	[ "$(on_host ss -Htn state established dport = :8080 | awk '{ print $4 }' | sort -u)" = "[$THERE]:8080" ]
}

@test "the check of the services asks over IPv6, too, whether an agent runs or not" {
	forget_questions
	run on_host env -i "PATH=$PATH" ECS_CLUSTER=lab ECS_BACKEND_HOST=http://ecs.test:8080 "$LAB_BUILD/ecs-agent" --check-services
	echo "$output"
	[[ $status -eq 0 && $output == *"ECS API: ok: "* ]]
	asked_over_ipv6_alone
	on_host "$LAB_BUILD/ecsctl" --socket "$LAB_DIR/agent/run/agent.sock" doctor --host --json >"$LAB_DIR/doctor.json" || true
	jq -e '[.[] | select(.check == "ECS endpoint" or .check == "ACS session" or .check == "credentials") | .ok] ==
		[true, true, true]' "$LAB_DIR/doctor.json"
	jq -e --arg at $THERE 'any(.[]; .check == "ECS endpoint" and (.found | contains($at)))' "$LAB_DIR/doctor.json"
}

@test "a task runs from an image that came over IPv6, and its port is reported for IPv6 alone" {
	[ "$(describe "$WEB" '.containers[0].networkBindings | map(.bindIP) | join(" ")')" = :: ]
	grep -q "Image 'registry.test/web:latest' of 'main' is pulled" "$LAB_DIR/agent.log"
	[ "$("$BATS_TEST_DIRNAME/peer.py" ask tcp $HERE "$(port)")" = "$THERE 80" ]
	on_host "$BATS_TEST_DIRNAME/peer.py" ask tcp $HERE "$(port)"
	on_host "$BATS_TEST_DIRNAME/peer.py" ask tcp 127.0.0.1 "$(port)"
	lab_daemon away "$BATS_TEST_DIRNAME/peer.py" serve 7777
	lab_wait 10 "a server elsewhere" "$BATS_TEST_DIRNAME/peer.py" ask tcp $THERE 7777
	[ "$(in_task "$WEB" "$BATS_TEST_DIRNAME/peer.py" ask tcp $THERE 7777)" = "$HERE 7777" ]
}

@test "metadata and credentials are served inside, at the address of IPv4" {
	base=$(inside printenv ECS_CONTAINER_METADATA_URI_V4)
	[[ $base == http://169.254.170.2/* ]]
	inside curl -fsS --max-time 30 "$base" >"$LAB_DIR/metadata.json"
	address=$(in_task "$WEB" ip -6 -j address show dev eth0 | jq -r '.[0].addr_info[0].local')
	jq -e --arg address "$address" '.Networks[0].IPv6Addresses == [$address] and .Ports[0].ContainerPort == 80' \
		"$LAB_DIR/metadata.json"
	uri=$(inside printenv AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	inside curl -fsS --max-time 30 "http://169.254.170.2$uri" | jq -e '.RoleArn == "arn:aws:iam::123456789012:role/app"'
}

@test "instance metadata is closed to the task, of either family" {
	in_task "$WEB" "$BATS_TEST_DIRNAME/peer.py" silent tcp $IMDS4 80 tcp $IMDS6 80
}

@test "a network that comes after the agent counts, too" {
	lab_stop agent
	on_host ip link set wan0 down # its addresses go with that
	sed -i '$a AWS_EC2_METADATA_DISABLED=true\nAWS_DEFAULT_REGION=us-west-2\nAWS_ACCESS_KEY_ID=local\nAWS_SECRET_ACCESS_KEY=local' \
		"$LAB_DIR/agent/env"
	: >"$LAB_DIR/agent.log"
	lab_resume_agent agent
	waits() { [[ $(lab_ecsctl agent status) == *"Waiting to register with cluster lab"* ]]; }
	lab_wait 30 "the agent to wait for the network" waits
	run ! grep "This host is IPv6-only" "$LAB_DIR/agent.log"
	pid=$(cat "$LAB_DIR/agent/run/agent.lock")
	plug_in
	lab_ecsctl agent status --wait 60
	grep "This host is IPv6-only" "$LAB_DIR/agent.log"
	[ "$(cat "$LAB_DIR/agent/run/agent.lock")" = "$pid" ]
	"$BATS_TEST_DIRNAME/peer.py" ask tcp $HERE "$(port)"
}
