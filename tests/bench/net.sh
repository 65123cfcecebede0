#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What networking costs: a container's set-up and tear-down against the CNI plugins bridge, portmap and host-local;
# throughput and new connections of published ports against host networking; 10,000 ports taken and given back.
# Everything is in namespaces of its own, and what is compared takes turns. Prints numbers, never fails.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${ECS_BUILD_DIR:-$here/../../build/gcc}
rounds=${ROUNDS:-50} seconds=${IPERF_SECONDS:-3} turns=${TURNS:-3}

if [ "${1:-}" != --inside ]; then
	[ "$(id -u)" = 0 ] || { echo "needs root" && exit 0; }
	exec unshare --net --mount "$0" --inside
fi
make -s -C "$build" tests/bench/net-setup tests/bench/net-ports || exit 0
ip link set lo up
mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns; }
mount -t tmpfs tmpfs /var/lib/cni 2>/dev/null || { mkdir -p /var/lib/cni && mount -t tmpfs tmpfs /var/lib/cni; }

echo "# $(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg), $(uname -r)"
echo "## set-up and tear-down of one container with one published port, $turns turns of $rounds"
for turn in $(seq "$turns"); do
	"$build/tests/bench/net-setup" "$rounds" 10000 >/tmp/net-setup.$$
	grep -E 'create \+ attach|release \+ detach' /tmp/net-setup.$$ | sed "s/^/turn $turn: ecs-agent /"
	"$here/net-cni.py" "$rounds" | sed "s/^/turn $turn: /"
done
echo "## 10,000 ports"
grep 'ports one by one' /tmp/net-setup.$$
rm -f /tmp/net-setup.$$

ip netns add away
ip link add bench0 type veth peer name bench1 netns away
ip address add 192.0.2.1/24 dev bench0
ip link set bench0 up
ip -n away address add 192.0.2.2/24 dev bench1
ip -n away link set bench1 up
ip -n away link set lo up

iperf_to() { # port [server's namespace prefix...]: Gbit/s
	local port=$1
	shift
	"$@" iperf3 --server --one-off --port 5201 >/dev/null 2>&1 &
	sleep 0.5
	ip netns exec away iperf3 --client 192.0.2.1 --port "$port" --time "$seconds" --json |
		jq -r '.end.sum_received.bits_per_second / 1e9 * 100 | round / 100'
	wait $!
}
for ports in 1 1000; do
	echo "## $ports published ports, from another network namespace"
	rm -f /tmp/net-ports.$$
	mkfifo /tmp/net-ports.$$
	exec 3<>/tmp/net-ports.$$
	"$build/tests/bench/net-ports" /run/netns/away 192.0.2.1 "$ports" </tmp/net-ports.$$ >/tmp/net-ports.$$.out &
	pid=$!
	until grep -q '^ready' /tmp/net-ports.$$.out || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
	grep -v '^ready' /tmp/net-ports.$$.out
	read -r _ ns port < <(grep '^ready' /tmp/net-ports.$$.out)
	for turn in $(seq "$turns"); do
		[ -n "${ns:-}" ] || break
		host=$(iperf_to 5201)
		published=$(iperf_to "$port" nsenter "--net=$ns")
		echo "turn $turn: TCP throughput: host network $host Gbit/s, published $published Gbit/s," \
			"ratio $(jq -n "$published / $host * 100 | round / 100")"
	done
	echo >&3
	wait $pid
	exec 3>&-
	rm -f /tmp/net-ports.$$ /tmp/net-ports.$$.out
done
