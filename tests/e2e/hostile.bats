#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a container with NET_ADMIN and NET_RAW tries against its neighbours and its host, in both families. Credentials
# and metadata of other tasks are metadata.bats' part. Not tried, because nothing here stands against it: filling the
# host's connection table, and flooding as such.

# Addresses of the host that are neither the bridge's nor the loopback's, and what stands for instance metadata.
HOST=10.255.255.1 HOST6=fd00:255::1
IMDS=169.254.169.254 IMDS6=fd00:ec2::254

setup_file() {
	load helper
	ip link set lo up
	for address in $HOST/32 $IMDS/32 $HOST6/128 $IMDS6/128; do ip address add "$address" dev lo; done
	# As it is without Docker: the bridge has a route to ::1.
	[ ! -e /proc/sys/net/bridge/bridge-nf-call-ip6tables ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-ip6tables
	lab_up
	lab_daemon imds "$BATS_TEST_DIRNAME/peer.py" serve 80
	register_script victim 'trap "exit 0" TERM; while :; do sleep 0.2; done' '"portMappings":[{"containerPort":81,"hostPort":0}]'
	register_script hostile 'trap "exit 0" TERM; ip address add 192.0.2.99/32 dev lo || exit 3
		ip address del 192.0.2.99/32 dev lo; while :; do sleep 0.2; done' \
		'"linuxParameters":{"capabilities":{"add":["NET_ADMIN","NET_RAW"]}}'
	BAD=$(run_task hostile) && GOOD=$(run_task victim) && OTHER=$(run_task victim)
	export BAD GOOD OTHER
	for arn in "$BAD" "$GOOD" "$OTHER"; do until_status "$arn" RUNNING 60; done
	answer_in "$GOOD" 81
	answer_in "$OTHER" 81
	VICTIM=$(address_of "$GOOD") VICTIM6=$(address_of "$GOOD" 6) VICTIM_MAC=$(mac_of "$GOOD")
	GATEWAY=172.31.240.1 GATEWAY6=$(ip -6 -j address show dev ecs0 | address_in) GATEWAY_MAC=$(bridge_mac)
	export VICTIM VICTIM6 VICTIM_MAC GATEWAY GATEWAY6 GATEWAY_MAC
	KINDS6=$(hostile kinds6)
	export KINDS6
}
teardown_file() {
	load helper
	for pid in "$LAB_DIR"/peer-*.pid "$LAB_DIR"/imds.pid; do
		lab_stop "$(basename "$pid" .pid)"
	done
	lab_down
}
setup() { load helper; }
teardown() { lab_report; }

address_in() { jq -r '[.[0].addr_info[] | select(.scope == "global")][0].local'; }
address_of() { in_task "$1" ip "-${2:-4}" -j address show dev eth0 | address_in; } # arn [6]
neighbour_of() { in_task "$1" ip -j neigh show to "$2" | jq -r '.[0].lladdr'; }    # arn address
mac_of() { in_task "$1" ip -j link show dev eth0 | jq -r '.[0].address'; }
bridge_mac() { ip -j link show dev ecs0 | jq -r '.[0].address'; }
ask() { "$BATS_TEST_DIRNAME/peer.py" ask "$@"; }
from_task() { # arn tcp|udp host port [seconds]
	local arn=$1
	shift
	in_task "$arn" "$BATS_TEST_DIRNAME/peer.py" ask "$@"
}
silence() { in_task "$BAD" "$BATS_TEST_DIRNAME/peer.py" silent "$@"; } # tcp|udp host port ...
hostile() { in_task "$BAD" "$BATS_TEST_DIRNAME/hostile.py" "$@"; }

# Its end of the link anew: plug ADDRESS ADDRESS6, with the ways that every container has.
plug() {
	in_task "$BAD" ip link set eth0 up
	in_task "$BAD" ip address add "$1/24" dev eth0
	in_task "$BAD" ip address add "$2/128" dev eth0 nodad
	for gateway in "$GATEWAY" "$GATEWAY6"; do
		in_task "$BAD" ip neigh replace "$gateway" lladdr "$GATEWAY_MAC" dev eth0 nud permanent
		in_task "$BAD" ip route replace default via "$gateway" dev eth0 onlink
	done
}
unplug() {
	in_task "$BAD" ip link set eth0 down
	in_task "$BAD" ip address flush dev eth0
}

# Sends frames of these kinds between honest ones, and prints what came of them:
# arrivals AS-SEEN-BY-COMMAND... -- TO-MAC TO-ADDR KIND...
arrivals() {
	local listener=()
	while [ "$1" != -- ]; do
		listener+=("$1")
		shift
	done
	shift
	"${listener[@]}" >"$LAB_DIR/arrivals" &
	lab_wait 10 "the listener" grep -q listening "$LAB_DIR/arrivals"
	hostile send "$1" "$2" honest honest-6 "${@:3}" last
	wait $!
	grep -v listening "$LAB_DIR/arrivals"
}
KINDS="address-of-another both-addresses-of-another address-of-nobody address-of-gateway strange-hardware-address
	arp-for-another arp-for-gateway arp-to-all-for-gateway arp-request-for-gateway vlan vlan-in-vlan vlan-priority
	forged-fragments half-forged-fragments dhcp-offer router-advertisement neighbour-advertisement-for-another
	redirect dhcpv6-advertise spanning-tree unknown-ethertype"

@test "no frame that lies reaches a neighbour" {
	# shellcheck disable=SC2086 # words
	run arrivals in_task "$OTHER" "$BATS_TEST_DIRNAME/hostile.py" listen 20 -- \
		"$(mac_of "$OTHER")" "$(address_of "$OTHER")" $KINDS $KINDS6
	echo "$output"
	[ "$output" = $'honest\nhonest-6\nlast' ]
}

@test "no frame that lies reaches the host" {
	# shellcheck disable=SC2086 # words
	run arrivals "$BATS_TEST_DIRNAME/hostile.py" listen 20 ecs0 -- "$GATEWAY_MAC" "$GATEWAY" $KINDS $KINDS6
	echo "$output"
	[ "$output" = $'honest\nhonest-6\nlast' ]
}

@test "neighbours and host go on believing the right addresses" {
	hostile send "$(mac_of "$OTHER")" "$(address_of "$OTHER")" arp-for-another arp-for-gateway arp-to-all-for-gateway
	# shellcheck disable=SC2086 # words
	hostile send "$GATEWAY_MAC" "$GATEWAY" $KINDS6
	for at in "$VICTIM" "$VICTIM6"; do
		from_task "$OTHER" tcp "$at" 81
		ask tcp "$at" 81
		[ "$(ip -j neigh show to "$at" dev ecs0 | jq -r '.[0].lladdr')" = "$VICTIM_MAC" ]
	done
	[ "$(neighbour_of "$OTHER" "$GATEWAY")" = "$GATEWAY_MAC" ]
	[ "$(neighbour_of "$OTHER" "$GATEWAY6")" = "$GATEWAY_MAC" ]
	[ "$(neighbour_of "$OTHER" "$VICTIM")" = "$VICTIM_MAC" ]
	[ "$(in_task "$OTHER" ip -6 -j neigh | jq length)" -eq 1 ] # nobody but the gateway
	[ "$(in_task "$OTHER" ip -6 -j route show default | jq -r '.[].gateway')" = "$GATEWAY6" ]
	[ -z "$(ip -6 route show proto ra)" ]
}

@test "who takes a neighbour's addresses gets nothing and takes nothing from it" {
	own=$(address_of "$BAD") own6=$(address_of "$BAD" 6) own_mac=$(mac_of "$BAD")
	other=$(address_of "$OTHER") other6=$(address_of "$OTHER" 6)
	from_task "$BAD" tcp "$GATEWAY" 80 1
	from_task "$BAD" tcp "$GATEWAY6" 80 1
	port=$(describe "$GOOD" '.containers[0].networkBindings[0].hostPort')
	for hardware in "$VICTIM_MAC" "$own_mac"; do
		unplug
		in_task "$BAD" ip link set eth0 address "$hardware"
		plug "$VICTIM" "$VICTIM6"
		sleep 1
		silence tcp "$GATEWAY" 80 udp "$GATEWAY" 80 tcp "$GATEWAY6" 80 udp "$GATEWAY6" 80 tcp "$other" 81 tcp "$other6" 81
		for _ in 1 2 3; do
			[ "$(from_task "$OTHER" tcp "$VICTIM" 81)" = "$other 81" ]
			[ "$(from_task "$OTHER" tcp "$VICTIM6" 81)" = "$other6 81" ]
			ask tcp "$VICTIM" 81
			ask tcp "$VICTIM6" 81
			ask tcp 127.0.0.1 "$port"
		done
	done
	unplug
	plug "$own" "$own6"
	lab_wait 10 "its own address to serve again" from_task "$BAD" tcp "$GATEWAY" 80 1
	lab_wait 10 "its own address of IPv6, too" from_task "$BAD" tcp "$GATEWAY6" 80 1
}

@test "the instance metadata service is closed, whatever way is tried" {
	ask tcp $IMDS 80
	ask tcp $IMDS6 80
	from_task "$BAD" tcp $HOST 80 # the same server at another address
	from_task "$BAD" tcp $HOST6 80
	# By a rule of its own that translates addresses.
	in_task "$BAD" nft 'add table inet t; add chain inet t o { type nat hook output priority -100; };
		add rule inet t o ip daddr 192.0.2.1 dnat ip to '$IMDS'; add rule inet t o ip6 daddr 2001:db8::1 dnat ip6 to '$IMDS6
	silence tcp $IMDS 80 udp $IMDS 80 tcp $IMDS6 80 udp $IMDS6 80 tcp 192.0.2.1 80 tcp 2001:db8::1 80
	in_task "$BAD" nft delete table inet t
	# By a route of its own to the device, and to the gateway.
	for way in "dev eth0" "via $GATEWAY6 dev eth0 onlink"; do
		# shellcheck disable=SC2086 # words
		in_task "$BAD" ip route replace $IMDS6/128 $way
		silence tcp $IMDS6 80 udp $IMDS6 80
	done
	in_task "$BAD" ip route del $IMDS6/128
	# By frames, which ask no route, and by the gateway as the stop before.
	[ "$(hostile syn "$GATEWAY_MAC" $HOST 80)" = "answer from $HOST flags 18" ]
	[ "$(hostile syn "$GATEWAY_MAC" $HOST6 80)" = "answer from $HOST6 flags 18" ]
	[ -z "$(hostile syn "$GATEWAY_MAC" $IMDS 80 $IMDS6 80 0/$IMDS6 80 2/$IMDS6 80 4/$IMDS6 80)" ]
}

@test "the agent is reached where it serves tasks, and nowhere else" {
	[ "$(hostile syn "$GATEWAY_MAC" "$GATEWAY" 51678)" = "answer from $GATEWAY flags 18" ] # as documented
	port=$(describe "$GOOD" '.containers[0].networkBindings[0].hostPort')
	[ "$(hostile syn "$GATEWAY_MAC" "$GATEWAY6" "$port")" = "answer from $GATEWAY6 flags 18" ]
	silence tcp $HOST 51678 tcp $HOST 51679 tcp $HOST6 51678 tcp $HOST6 51679 tcp "$GATEWAY6" 51678 tcp "$GATEWAY6" 51679
	# The loopback's, asked through the bridge.
	[ -z "$(hostile syn "$GATEWAY_MAC" 127.0.0.1 51678 127.0.0.1 51679 127.0.0.1 "$port" ::1 51678 ::1 51679 ::1 "$port")" ]
	# The control socket is in no task's files, and not in the abstract namespace that comes with a network.
	[ -z "$(find "/proc/$(container_pid "$BAD" main)/root/" -xdev -name '*.sock' -type s)" ]
	run ! grep -E '@.*(ecs|agent)' /proc/net/unix
}
