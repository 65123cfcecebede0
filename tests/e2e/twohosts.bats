#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container instance and a machine beside it, in two network namespaces joined by a cable: who reaches the tasks, as
# whom, and what other firewalls on the instance do to that. Docker's rules are there before the agent is. Nearly all
# is asked in both families: `for f in 4 6`.

# Each family's ends of the cable, where the host's own loopback is, and what a binding names. No host has a default route.
declare -gA HERE=([4]=10.199.0.1 [6]=fd00:199::1) THERE=([4]=10.199.0.2 [6]=fd00:199::2)
declare -gA LOOPBACK=([4]=127.0.0.1 [6]=::1) ANY=([4]=0.0.0.0 [6]=::)

setup_file() {
	load helper
	ip link set lo up
	export AWAY=ecs-e2e-away-$$
	ip netns add "$AWAY"
	cable "$AWAY" e2e-a "${HERE[4]}" "${THERE[4]}" "${HERE[6]}" "${THERE[6]}"
	ip -n "$AWAY" link set lo up
	docker_rules
	calls_ip6tables 0
	lab_up ECS_EXCLUDE_IPV6_PORTBINDING=false
	register_script quiet 'trap "exit 0" TERM; while :; do sleep 0.2; done' \
		'"portMappings":[{"containerPort":80,"hostPort":0},{"containerPort":53,"hostPort":0,"protocol":"udp"},
		{"containerPortRange":"7000-7004"},{"containerPortRange":"7000-7004","protocol":"udp"}]'
	ONE=$(run_task quiet) && TWO=$(run_task quiet)
	export ONE TWO
	until_status "$ONE" RUNNING 60
	until_status "$TWO" RUNNING 60
	for arn in "$ONE" "$TWO"; do
		describe "$arn" '.containers[0].networkBindings' >"$LAB_DIR/${arn##*/}.bindings"
	done
	answer_in "$ONE" 80 53 81 7000-7004
	answer_in "$TWO" 80 53
}
teardown_file() {
	load helper
	stop_peers
	lab_down
	run ! grep -q ecs-agent <(nft list ruleset) # the laboratory took it out of Docker's chains, too
	ip netns delete "$AWAY-far" 2>/dev/null || true # of a test that failed
	ip netns delete "$AWAY"
	iptables -P FORWARD ACCEPT
	ip6tables -P FORWARD ACCEPT
}
setup() { load helper; }
teardown() { lab_report; }

cable() { # namespace device IPv4-here IPv4-there IPv6-here IPv6-there
	ip link add "$2" type veth peer name eth-"$2" netns "$1"
	ip address add "$3/24" dev "$2"
	ip address add "$5/64" dev "$2" nodad
	# A device that is set down to get another name keeps its addresses of IPv4 alone, unless it is told.
	echo 1 >"/proc/sys/net/ipv6/conf/$2/keep_addr_on_down"
	ip link set "$2" up
	ip -n "$1" address add "$4/24" dev eth-"$2"
	ip -n "$1" address add "$6/64" dev eth-"$2" nodad
	ip -n "$1" link set eth-"$2" up
}
# The chains as dockerd makes them when it starts, in both families.
docker_rules() {
	for t in iptables ip6tables; do
		$t -P FORWARD DROP
		for chain in DOCKER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do
			$t -N "$chain" 2>/dev/null || $t -F "$chain"
		done
		$t -F FORWARD
		$t -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
		$t -A DOCKER-ISOLATION-STAGE-1 -j RETURN
		$t -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
		$t -A DOCKER-ISOLATION-STAGE-2 -j RETURN
		$t -A DOCKER-USER -j RETURN
		$t -A FORWARD -j DOCKER-USER
		$t -A FORWARD -j DOCKER-ISOLATION-STAGE-1
		$t -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		$t -A FORWARD -o docker0 -j DOCKER
		$t -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
		$t -A FORWARD -i docker0 -o docker0 -j ACCEPT
		$t -t nat -N DOCKER 2>/dev/null || $t -t nat -F DOCKER
		$t -t nat -F PREROUTING
		$t -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	done
}
# Whether bridged packets of IPv6 meet its rules, too, as Docker has it where its module is: then ::1 is not served.
calls_ip6tables() { # 0|1
	[ ! -e /proc/sys/net/bridge/bridge-nf-call-ip6tables ] || echo "$1" >/proc/sys/net/bridge/bridge-nf-call-ip6tables
}
stop_peers() {
	for pid in "$LAB_DIR"/peer-*.pid "$LAB_DIR"/hold-*.pid "$LAB_DIR"/away.pid; do
		[ ! -e "$pid" ] || lab_stop "$(basename "$pid" .pid)"
	done
}
ask() { "$BATS_TEST_DIRNAME/peer.py" ask "$@"; }
from_away() { nsenter "--net=/run/netns/$AWAY" "$BATS_TEST_DIRNAME/peer.py" ask "$@"; }
nothing_from_away() { nsenter "--net=/run/netns/$AWAY" "$BATS_TEST_DIRNAME/peer.py" silent "$@"; }
from_task() { # arn tcp|udp host port [seconds]
	local arn=$1
	shift
	in_task "$arn" "$BATS_TEST_DIRNAME/peer.py" ask "$@"
}
# The host port of a container port: port_of ARN CONTAINER-PORT tcp|udp 4|6
port_of() {
	jq -er ".[] | select(.containerPort == $2 and .protocol == \"$3\" and .bindIP == \"${ANY[$4]}\") | .hostPort" \
		"$LAB_DIR/${1##*/}.bindings"
}
address_in() { jq -r '[.[0].addr_info[] | select(.scope == "global")][0].local'; }
address_of() { in_task "$1" ip "-$2" -j address show dev eth0 | address_in; } # arn 4|6
gateway() { ip "-$1" -j address show dev ecs0 | address_in; }                # 4|6
restored() { curl -fsS http://127.0.0.1:51678/metrics | awk '$1 == "ecs_packet_filter_restored_total" { print $2 }'; }
restored_since() { [ "$(restored)" -gt "$1" ]; }
# A connection of each family from away, to the first task, that goes on until let_go.
hold() {
	let_go # what a failed test left
	for f in 4 6; do
		rm -f "$LAB_DIR/held-$f"
		lab_daemon "hold-$f" nsenter "--net=/run/netns/$AWAY" "$BATS_TEST_DIRNAME/peer.py" \
			hold "${HERE[$f]}" "$(port_of "$ONE" 80 tcp $f)" "$LAB_DIR/held-$f"
	done
	for f in 4 6; do
		lab_wait 10 "the first answer" test -s "$LAB_DIR/held-$f"
	done
}
# Keeps them quiet until holds_on: whatever comes in while nothing is translated is answered with a reset by the host.
pause() { kill -STOP "$(cat "$LAB_DIR/hold-4.pid")" "$(cat "$LAB_DIR/hold-6.pid")"; }
holds_on() { # the same connections have more answers than before
	local before
	more() { [ "$(cat "$LAB_DIR/held-$1")" -gt "$before" ]; }
	for f in 4 6; do
		lab_running "hold-$f" || return 1
		kill -CONT "$(cat "$LAB_DIR/hold-$f.pid")"
		before=$(cat "$LAB_DIR/held-$f")
		lab_wait 15 "the connection to go on" more $f
	done
}
let_go() { lab_stop hold-4 && lab_stop hold-6; }
# What `ecsctl doctor --host` says of the firewall. Other checks may fail where tests run.
doctor_says() {
	"$LAB_BUILD/ecsctl" --socket "$LAB_DIR/agent/run/agent.sock" doctor --host --json >"$LAB_DIR/doctor.json" || true
	jq -er --arg found "$2" ".[] | select(.check == \"firewall\" and .ok == $1) | .found == \$found" "$LAB_DIR/doctor.json" ||
		{ cat "$LAB_DIR/doctor.json" && return 1; }
}
reaches_soon() { # a second after the ruleset was loaded, and slower only on a slower machine
	for f in 4 6; do
		lab_wait 3 "off-host clients to reach the task" from_away tcp "${HERE[$f]}" "$(port_of "$ONE" 80 tcp $f)" 0.5
	done
}

@test "clients elsewhere reach dynamic ports beside Docker's rules, and are seen as who they are" {
	for f in 4 6; do
		[ "$(from_away tcp "${HERE[$f]}" "$(port_of "$ONE" 80 tcp $f)")" = "${THERE[$f]} 80" ]
		[ "$(from_away udp "${HERE[$f]}" "$(port_of "$ONE" 53 udp $f)")" = "${THERE[$f]} 53" ]
		[ "$(from_away tcp "${HERE[$f]}" "$(port_of "$TWO" 80 tcp $f)")" = "${THERE[$f]} 80" ]
	done
	[ "$(port_of "$ONE" 80 tcp 4)" = "$(port_of "$ONE" 80 tcp 6)" ] # one number holds in both
	for t in iptables ip6tables; do
		run $t -S DOCKER-USER
		echo "$output"
		[ "$output" = "-N DOCKER-USER
-A DOCKER-USER -i ecs0 -m comment --comment ecs-agent -j ACCEPT
-A DOCKER-USER -o ecs0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment ecs-agent -j ACCEPT
-A DOCKER-USER -o ecs0 -m conntrack --ctstate DNAT -m comment --comment ecs-agent -j ACCEPT
-A DOCKER-USER -j RETURN" ]
		$t-save | $t-restore --test
	done
	doctor_says true "chain FORWARD of table ip filter drops; it lets tasks pass"
	grep -F "chain DOCKER-USER of table ip filter drops what no rule accepts: rules for bridge 'ecs0' are there now" \
		"$LAB_DIR/agent.log"
}

@test "every port of a range is reached at its own" {
	for proto in tcp udp; do
		for f in 4 6; do
			range=$(jq -r ".[] | select(.containerPortRange == \"7000-7004\" and .protocol == \"$proto\" and
				.bindIP == \"${ANY[$f]}\") | .hostPortRange" "$LAB_DIR/${ONE##*/}.bindings")
			[[ $range =~ ^([0-9]+)-([0-9]+)$ ]]
			[ $((BASH_REMATCH[2] - BASH_REMATCH[1])) -eq 4 ]
			for i in 0 1 2 3 4; do
				[ "$(from_away "$proto" "${HERE[$f]}" $((BASH_REMATCH[1] + i)))" = "${THERE[$f]} 700$i" ]
			done
		done
	done
}

@test "the host and the tasks reach published ports, too: their own and each other's" {
	local one two proto port
	for f in 4 6; do
		for service in tcp:80 udp:53; do
			proto=${service%:*} port=${service#*:}
			one=$(port_of "$ONE" "$port" "$proto" $f)
			two=$(port_of "$TWO" "$port" "$proto" $f)
			[ "$(ask "$proto" "${LOOPBACK[$f]}" "$one")" = "$(gateway $f) $port" ]
			ask "$proto" "${HERE[$f]}" "$one"
			ask "$proto" "$(gateway $f)" "$one"
			[ "$(from_task "$ONE" "$proto" "${HERE[$f]}" "$one")" = "$(gateway $f) $port" ] # itself
			from_task "$ONE" "$proto" "${HERE[$f]}" "$two"
			from_task "$ONE" "$proto" "$(gateway $f)" "$two"
		done
	done
}

@test "tasks reach what is elsewhere, under the host's address" {
	lab_daemon away nsenter "--net=/run/netns/$AWAY" "$BATS_TEST_DIRNAME/peer.py" serve 7777
	lab_wait 10 "a server elsewhere" ask tcp "${THERE[4]}" 7777
	for f in 4 6; do
		[ "$(from_task "$ONE" tcp "${THERE[$f]}" 7777)" = "${HERE[$f]} 7777" ]
		[ "$(from_task "$ONE" udp "${THERE[$f]}" 7777)" = "${HERE[$f]} 7777" ]
	done
}

@test "what says that packets are too big for a way further on reaches the task that sent them" {
	local far=$AWAY-far
	declare -A near=([4]=10.198.0.1/24 [6]=fd00:198::1/64) dest=([4]=10.198.0.2 [6]=fd00:198::2)
	ip netns add "$far"
	ip -n "$AWAY" link add narrow mtu 1280 type veth peer name eth0 mtu 1500 netns "$far"
	# Its IPv6 addresses are good at once.
	ip netns exec "$far" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad'
	ip netns exec "$AWAY" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/narrow/accept_dad; echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	ip -n "$AWAY" link set narrow up
	ip -n "$far" link set eth0 up
	for f in 4 6; do
		ip -n "$AWAY" address add "${near[$f]}" dev narrow
		ip -n "$far" address add "${dest[$f]}/${near[$f]#*/}" dev eth0
		ip -n "$far" route add default via "${near[$f]%/*}"
		ip route add "${dest[$f]}" via "${THERE[$f]}"
		lab_daemon "far-$f" nsenter "--net=/run/netns/$far" \
			socat -u "TCP$f-LISTEN:9,reuseaddr" "OPEN:$LAB_DIR/far-$f.data,creat"
		lab_wait 10 "a server far away" eval "ip netns exec $far ss -Hltn$f | grep -q ':9 '"
		head -c 200000 /dev/zero | in_task "$ONE" timeout 60 socat -u - "TCP$f:[${dest[$f]}]:9"
		lab_wait 10 "all of it to arrive" eval "[ \$(stat -c %s '$LAB_DIR/far-$f.data') = 200000 ]"
		in_task "$ONE" ip route get "${dest[$f]}" | grep -q 'mtu 1280'
		ip route del "${dest[$f]}" via "${THERE[$f]}"
	done
	ip -n "$AWAY" link delete narrow
	ip netns delete "$far"
}

@test "who has a route to the bridge does not reach what is not published" {
	for f in 4 6; do
		one=$(address_of "$ONE" $f) gateway=$(gateway $f)
		net=172.31.240.0/24
		[ $f -eq 4 ] || net=${gateway%::*}::/64
		ip -n "$AWAY" route add "$net" via "${HERE[$f]}"
		ask tcp "$one" 81 # it is there
		# Port 80 is published, and is not reached past its host port.
		nothing_from_away tcp "$one" 81 udp "$one" 81 tcp "$one" 80 tcp "$gateway" 51678 tcp "$gateway" 51679 \
			tcp "${HERE[$f]}" 51678 tcp "${HERE[$f]}" 51679
		ip -n "$AWAY" route del "$net"
		# Tasks on one bridge do reach each other, as on Docker's default bridge.
		[ "$(from_task "$TWO" tcp "$one" 81)" = "$(address_of "$TWO" $f) 81" ]
	done
}

@test "a flushed ruleset is put back while connections run, and counted" {
	before=$(restored)
	hold
	pause
	nft flush ruleset
	lab_wait 3 "the restoration to be counted" restored_since "$before"
	reaches_soon
	holds_on
	for f in 4 6; do
		[ "$(from_away udp "${HERE[$f]}" "$(port_of "$ONE" 53 udp $f)")" = "${THERE[$f]} 53" ]
	done
	let_go
	docker_rules # for what follows
	reaches_soon
}

@test "Docker's reload takes the rules away, and they come back, once each" {
	before=$(restored)
	hold
	docker_rules
	lab_wait 3 "the restoration to be counted" restored_since "$before"
	reaches_soon
	docker_rules
	reaches_soon
	holds_on
	let_go
	for t in iptables ip6tables; do
		[ "$($t -S | grep -c ecs-agent)" -eq 3 ]
		$t -F DOCKER-USER && $t -A DOCKER-USER -j RETURN
	done
	reaches_soon
	# An administrator's rule may stand before ours.
	iptables -I DOCKER-USER -s "${THERE[4]}" -j DROP
	ip6tables -I DOCKER-USER -s "${THERE[6]}" -j DROP
	sleep "$(lab_slow 1)"
	nothing_from_away tcp "${HERE[4]}" "$(port_of "$ONE" 80 tcp 4)" tcp "${HERE[6]}" "$(port_of "$ONE" 80 tcp 6)"
	iptables -D DOCKER-USER -s "${THERE[4]}" -j DROP
	ip6tables -D DOCKER-USER -s "${THERE[6]}" -j DROP
	reaches_soon
}

@test "an nftables.conf that drops by policy, loaded later, lets published ports pass, and tasks ask the agent" {
	cat >"$LAB_DIR/nftables.conf" <<-'EOT'
		flush ruleset
		table inet filter {
			chain input {
				type filter hook input priority 0; policy drop;
				ct state established,related accept
				iifname "lo" accept
				icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
			}
			chain forward { type filter hook forward priority 0; policy drop; }
		}
	EOT
	hold
	pause
	nft -f "$LAB_DIR/nftables.conf"
	reaches_soon
	holds_on
	let_go
	nft list chain inet filter forward
	[ "$(nft list table inet filter | grep -c 'comment "ecs-agent"')" -eq 5 ]
	lab_wait 3 "tasks to reach 169.254.170.2" in_task "$ONE" \
		curl -sS --max-time 1 -o /dev/null http://169.254.170.2/v2/metadata
	in_task "$ONE" "$BATS_TEST_DIRNAME/peer.py" silent tcp 172.31.240.1 51678 # which only that chain keeps from them
	nft delete table inet filter
	docker_rules
	reaches_soon
}

@test "who keeps removing the table does not have the last word" {
	end=$((SECONDS + 2))
	while [ $SECONDS -lt $end ]; do
		nft delete table inet ecs 2>/dev/null || true
		sleep 0.02 # also between the agent's transactions
	done
	reaches_soon # the next test starts the agent anew, and with it the patience
}

@test "a restart of the agent interrupts no connection and finds its rules" {
	local before after
	hold
	before=$(nft -a list chain ip filter DOCKER-USER && nft -a list chain ip6 filter DOCKER-USER)
	lab_stop agent KILL
	for f in 4 6; do # while nobody watches
		[ "$(from_away tcp "${HERE[$f]}" "$(port_of "$ONE" 80 tcp $f)")" = "${THERE[$f]} 80" ]
	done
	calls_ip6tables 1 # for the next test: it is read at the start, and every 10 to 30 s
	lab_resume_agent agent
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	holds_on
	let_go
	after=$(nft -a list chain ip filter DOCKER-USER && nft -a list chain ip6 filter DOCKER-USER)
	[ "$after" = "$before" ]
	reaches_soon
}

@test "with br_netfilter at work ::1 is refused at once, and all else goes on" {
	[ -e /proc/sys/net/bridge/bridge-nf-call-ip6tables ] || skip "br_netfilter is not loaded"
	port=$(port_of "$ONE" 80 tcp 6)
	run ask tcp ::1 "$port"
	[[ $status -eq 1 && $output == *refused ]]
	ask tcp "${HERE[6]}" "$port"
	[ "$(from_task "$ONE" tcp "${HERE[6]}" "$port")" = "$(gateway 6) 80" ]
	[ "$(from_task "$TWO" tcp "$(address_of "$ONE" 6)" 80)" = "$(address_of "$TWO" 6) 80" ]
}

@test "devices come, change their names and lead elsewhere" {
	cable "$AWAY" e2e-c 10.198.0.1 10.198.0.2 fd00:198::1 fd00:198::2
	[ "$(from_away tcp 10.198.0.1 "$(port_of "$ONE" 80 tcp 4)")" = "10.198.0.2 80" ]
	[ "$(from_away tcp fd00:198::1 "$(port_of "$ONE" 80 tcp 6)")" = "fd00:198::2 80" ]
	hold
	ip link set e2e-a down && ip link set e2e-a name wan7 && ip link set wan7 up
	reaches_soon
	holds_on
	let_go
	for f in 4 6; do
		[ "$(from_away tcp "${HERE[$f]}" "$(port_of "$ONE" 80 tcp $f)")" = "${THERE[$f]} 80" ]
	done
	# A default route that appears later is used, by whatever device.
	ip -n "$AWAY" address add 203.0.113.9/32 dev lo
	ip -n "$AWAY" address add 2001:db8::9/128 dev lo
	ip route add default via 10.198.0.2
	ip route add default via fd00:198::2
	[ "$(from_task "$ONE" tcp 203.0.113.9 7777)" = "10.198.0.1 7777" ]
	[ "$(from_task "$ONE" tcp 2001:db8::9 7777)" = "fd00:198::1 7777" ]
	ip link delete e2e-c # and the routes with it
	reaches_soon
}

@test "told to leave the firewall alone, the agent takes its rules away and names what drops" {
	lab_stop agent
	sed -i '$a ECS_FIREWALL_ACCEPT=false' "$LAB_DIR/agent/env"
	lab_resume_agent agent
	lab_wait 60 "the agent to connect again" lab_instance_connected lab
	run ! grep ecs-agent <(iptables-save && ip6tables-save)
	doctor_says false "chain FORWARD of table ip filter drops what tasks in bridge mode send and get"
	grep "The policy of chain FORWARD of table ip filter is to drop" "$LAB_DIR/agent.log"
	nothing_from_away tcp "${HERE[4]}" "$(port_of "$ONE" 80 tcp 4)" tcp "${HERE[6]}" "$(port_of "$ONE" 80 tcp 6)"
	ask tcp 127.0.0.1 "$(port_of "$ONE" 80 tcp 4)"
	lab_stop agent
	sed -i '/ECS_FIREWALL_ACCEPT/d' "$LAB_DIR/agent/env"
	lab_resume_agent agent
	reaches_soon
}
