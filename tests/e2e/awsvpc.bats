#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Network mode awsvpc: a veth end stands for the task's network interface; its peer, in a namespace of
# its own, is the router and the other host of the subnet. Another namespace is a machine behind this host, which tasks
# reach by the local link as far as ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES says.

MAC=02:64:00:00:00:05
ROLE=arn:aws:iam::123456789012:role/app
NETWORK='awsvpcConfiguration={subnets=[subnet-lab],securityGroups=[sg-lab]}'

setup_file() {
	load helper
	VPC=vpc-$$ LAN=lan-$$
	export VPC LAN
	make_vpc
	make_lan
	write_subnets >"$BATS_FILE_TMPDIR/subnets.json"
	LAB_CONTROLPLANE_ARGS=(--subnets "$BATS_FILE_TMPDIR/subnets.json")
	lab_up 'ECS_INSTANCE_ATTRIBUTES={"host":"one"}' 'ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES=["10.88.0.0/24"]'
	serve_vpc
	lab_daemon behind nsenter "--net=/run/netns/$LAN" "$BATS_TEST_DIRNAME/peer.py" serve 7000
	register_script app "echo task >/www/who; exec httpd -f -p 80 -h /www" \
		'"portMappings":[{"containerPort":80}]'
	as_awsvpc app
	APP=$(run_task app --network-configuration "$NETWORK")
	export APP
	until_status "$APP" RUNNING 60
}
teardown_file() {
	load helper
	for name in vpc behind imds; do lab_stop $name; done
	lab_down
	ip netns del "$VPC" || true
	ip netns del "$LAN" || true
}
setup() { load helper; }
teardown() { lab_report; }

in_vpc() { ip netns exec "$VPC" "$@"; }

# The other host also answers where the instance metadata service would.
make_vpc() {
	local addr
	ip netns add "$VPC"
	ip link add eni-lab1 address "$MAC" type veth peer name lab0
	ip link set lab0 netns "$VPC"
	in_vpc ip link set lo up
	in_vpc sysctl -qw net.ipv6.conf.lab0.accept_dad=0
	for addr in 10.64.0.1/24 fd64::1/64 169.254.169.254/32 fd00:ec2::254/128; do
		in_vpc ip addr add "$addr" dev lab0
	done
	in_vpc ip link set lab0 up
}
serve_vpc() {
	cat >"$LAB_DIR/who.py" <<-'EOF'
		import http.server, socket
		class Who(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        self.send_response(200)
		        self.end_headers()
		        self.wfile.write(self.client_address[0].removeprefix("::ffff:").encode())
		class Server(http.server.ThreadingHTTPServer):
		    address_family = socket.AF_INET6
		    def server_bind(self):
		        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
		        super().server_bind()
		Server(("::", 80), Who).serve_forever()
	EOF
	lab_daemon vpc nsenter "--net=/run/netns/$VPC" /usr/bin/python3 "$LAB_DIR/who.py"
}

# Two networks, of which tasks are given one.
make_lan() {
	ip netns add "$LAN"
	ip link add behind type veth peer name eth0 netns "$LAN"
	for net in 10.88.0 10.89.0; do
		ip addr add $net.1/24 dev behind
		ip -n "$LAN" addr add $net.2/24 dev eth0
	done
	ip link set behind up
	ip -n "$LAN" link set eth0 up
	ip -n "$LAN" route add 169.254.172.0/22 via 10.88.0.1
}

write_subnets() {
	cat <<-EOF
		{ "subnets": [ { "subnetId": "subnet-lab",
		    "cidrBlock": "10.64.0.0/24", "gateway": "10.64.0.1",
		    "ipv6CidrBlock": "fd64::/64", "ipv6Gateway": "fd64::1",
		    "dnsServers": ["10.64.0.1"], "searchDomains": ["lab.internal"],
		    "securityGroups": ["sg-lab"],
		    "networkInterfaces": [ { "networkInterfaceId": "eni-lab1", "macAddress": "$MAC",
		      "privateIpv4Addresses": ["10.64.0.5", "10.64.0.6"], "ipv6Addresses": ["fd64::5"],
		      "instances": "attribute:host == one" } ] } ] }
	EOF
}

# The newest revision of a family once more, in mode awsvpc and with a role.
as_awsvpc() { # family
	lab_aws describe-task-definition --task-definition "$1" |
		jq --arg role "$ROLE" '.taskDefinition | {family, taskRoleArn: $role, networkMode: "awsvpc",
			containerDefinitions: [.containerDefinitions[] | .portMappings = [{containerPort: 80}]]}' \
			>"$LAB_DIR/awsvpc.json"
	lab_aws register-task-definition --cli-input-json "file://$LAB_DIR/awsvpc.json" >/dev/null
}

# Runs a command as a process of the task's container would: with its environment, in its network.
inside() { # arn command...
	local pid env=()
	pid=$(container_pid "$1" main)
	mapfile -d '' -t env <"/proc/$pid/environ"
	shift
	nsenter --net="/proc/$pid/ns/net" env -i "${env[@]}" PATH=/usr/bin:/bin:/sbin "$@"
}
fetch() { curl -sS --max-time 30 "$@"; }
detail() { describe "$1" ".attachments[0].details[] | select(.name == \"$2\").value"; } # arn name
device_is_here() { ip -j link | jq -e --arg mac "$MAC" 'any(.[]; .address == $mac)' >/dev/null; }
attachment_is() { [ "$(describe "$1" '.attachments[0].status')" = "$2" ]; } # arn status
peer() { "$BATS_TEST_DIRNAME/peer.py" "$@"; }
from_task() { in_task "$APP" "$BATS_TEST_DIRNAME/peer.py" "$@"; }
local_rules() {
	for chain in local_raw local_in local_forward local_nat; do nft -s list chain inet ecs $chain; done
	nft list chain bridge ecs local_guard
	nft list set bridge ecs local_pairs
}
is_served() { [ "$(in_vpc curl -sS --max-time 2 http://10.64.0.5/who)" = task ]; }

@test "a task reaches the subnet from its interface's addresses" {
	[ "$(inside "$APP" curl -sS --max-time 30 http://10.64.0.1/)" = 10.64.0.5 ]
	[ "$(inside "$APP" curl -sS --max-time 30 'http://[fd64::1]/')" = fd64::5 ]
	inside "$APP" ip -j addr show eth0 >"$LAB_DIR/addr.json"
	[ "$(jq -r '.[0].address' "$LAB_DIR/addr.json")" = "$MAC" ]
	jq -e '[.[0].addr_info[].local] | contains(["10.64.0.5", "10.64.0.6", "fd64::5"])' "$LAB_DIR/addr.json"
}

@test "the subnet reaches the task's port on every address, and the host has published none" {
	for at in 10.64.0.5 10.64.0.6 '[fd64::5]'; do
		[ "$(in_vpc curl -sS --max-time 30 "http://$at/who")" = task ]
	done
	[ "$(describe "$APP" '.containers[0].networkBindings | length')" = 0 ]
	run fetch http://127.0.0.1:80/who
	[ "$status" -ne 0 ]
}

@test "describe-tasks shows the attachment, and the agent reported it" {
	[ "$(describe "$APP" '.attachments[0].type')" = ElasticNetworkInterface ]
	lab_wait 10 "the attachment to be reported" attachment_is "$APP" ATTACHED
	[ "$(detail "$APP" subnetId)" = subnet-lab ]
	[ "$(detail "$APP" networkInterfaceId)" = eni-lab1 ]
	[ "$(detail "$APP" macAddress)" = "$MAC" ]
	[ "$(detail "$APP" privateIPv4Address)" = 10.64.0.5 ]
	[ "$(describe "$APP" '.containers[0].networkInterfaces[0].privateIpv4Address')" = 10.64.0.5 ]
	[ "$(describe "$APP" '.containers[0].networkInterfaces[0].ipv6Address')" = fd64::5 ]
}

@test "metadata and credentials are served inside" {
	base=$(inside "$APP" printenv ECS_CONTAINER_METADATA_URI_V4)
	inside "$APP" curl -sS --max-time 30 "$base" >"$LAB_DIR/metadata.json"
	jq -e --arg mac "$MAC" '.Networks[0] | .NetworkMode == "awsvpc" and .MACAddress == $mac
		and .IPv4Addresses[0] == "10.64.0.5" and (.IPv6Addresses | index("fd64::5") != null)
		and .IPv4SubnetCIDRBlock == "10.64.0.0/24"' "$LAB_DIR/metadata.json"
	uri=$(inside "$APP" printenv AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)
	[ "$(inside "$APP" curl -sS --max-time 30 "http://169.254.170.2$uri" | jq -r .RoleArn)" = "$ROLE" ]
}

@test "the instance metadata service is out of reach, though the subnet would answer" {
	in_vpc curl -sS --max-time 30 http://169.254.169.254/
	for at in 169.254.169.254 '[fd00:ec2::254]'; do
		run inside "$APP" curl -sS --max-time 2 "http://$at/latest/meta-data/"
		[ "$status" -ne 0 ]
	done
}

@test "tasks reach the further networks of the local link under the host's address, and nothing else by it" {
	lab_wait 10 "the machine behind" peer ask tcp 10.89.0.2 7000
	[ "$(in_task "$APP" ip -j route get 10.88.0.2 | jq -r '.[0].dev')" = ecs-eth0 ]
	[ "$(from_task ask tcp 10.88.0.2 7000)" = "10.88.0.1 7000" ]
	[ "$(from_task ask udp 10.88.0.2 7000)" = "10.88.0.1 7000" ]
	# Not even those who make a route, and nobody comes in by it.
	in_task "$APP" ip route add 10.89.0.0/24 via 169.254.172.1 dev ecs-eth0
	from_task silent tcp 10.89.0.2 7000 udp 10.89.0.2 7000 tcp 10.89.0.1 51678
	in_task "$APP" ip route del 10.89.0.0/24
	at=$(in_task "$APP" ip -j addr show ecs-eth0 | jq -r '.[0].addr_info[0].local')
	nsenter "--net=/run/netns/$LAN" "$BATS_TEST_DIRNAME/peer.py" silent tcp "$at" 80
}

@test "the rules of the local link are put back after a flush" {
	local before
	ip addr add 169.254.169.254/32 dev lo # instance metadata, as the host itself would reach it
	lab_daemon imds "$BATS_TEST_DIRNAME/peer.py" serve 80
	lab_wait 10 "what stands for instance metadata" peer ask tcp 169.254.169.254 80
	# A task that may do as it likes in its network: what is left are the rules of the host.
	in_task "$APP" nft flush ruleset
	in_task "$APP" ip route replace 169.254.169.254 via 169.254.172.1 dev ecs-eth0
	from_task silent tcp 169.254.169.254 80 udp 169.254.169.254 80
	before=$(local_rules)
	nft flush ruleset
	are_back() { [ "$(local_rules)" = "$before" ]; }
	lab_wait 3 "the rules to come back" are_back
	from_task silent tcp 169.254.169.254 80 udp 169.254.169.254 80
	[ "$(from_task ask tcp 10.88.0.2 7000)" = "10.88.0.1 7000" ]
	base=$(inside "$APP" printenv ECS_CONTAINER_METADATA_URI_V4)
	inside "$APP" curl -fsS --max-time 30 -o /dev/null "$base"
	ip addr del 169.254.169.254/32 dev lo
}

@test "a firewall that drops what is forwarded lets the further networks pass" {
	iptables -P FORWARD DROP
	lab_wait 3 "the further network" from_task ask tcp 10.88.0.2 7000 0.5
	iptables -S FORWARD | grep -e '-i ecs-bridge .*ecs-agent'
	iptables -P FORWARD ACCEPT
	are_gone() { ! iptables -S FORWARD | grep ecs-agent; }
	lab_wait 3 "the rules to go" are_gone
}

@test "an interface that is taken is given to nobody else" {
	run run_task app --network-configuration "$NETWORK"
	[ "$status" -ne 0 ]
	[[ $output == *RESOURCE:ENI* ]]
	run lab_aws run-task --cluster lab --task-definition app --network-configuration \
		'awsvpcConfiguration={subnets=[subnet-x]}'
	[[ $output == *"The subnet ID 'subnet-x' does not exist"* ]]
}

@test "an agent that was killed and started again keeps the interface with the task" {
	before=$(container_pid "$APP" main)
	lab_stop agent KILL
	is_served
	lab_resume_agent agent
	lab_wait 30 "the container instance to connect" lab_instance_connected lab
	is_served
	[ "$(container_pid "$APP" main)" = "$before" ]
	[ "$(describe "$APP" .lastStatus)" = RUNNING ]
	attachment_is "$APP" ATTACHED
}

@test "the device comes back at the end, and the next task gets it" {
	run device_is_here
	[ "$status" -ne 0 ]
	stop_task "$APP"
	until_status "$APP" STOPPED 30
	attachment_is "$APP" DETACHED
	lab_wait 10 "the device to come back" device_is_here
	next=$(run_task app --network-configuration "$NETWORK")
	until_status "$next" RUNNING 30
	is_served
	lab_wait 10 "the attachment to be reported" attachment_is "$next" ATTACHED
	stop_task "$next"
	until_status "$next" STOPPED 30
}
