#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests that have to do with control groups, volumes and the network in a virtual machine where systemd
# runs and all is cgroup v2, with swap:
#   make check TESTS= && tests/host/v2.sh [--plain] BUILD-DIR [PROGRAM ...]
# --plain: without systemd. PROGRAM: tests/integration/engine/test-engine, say; all of them without any.
# Prints TAP, a program's own results indented. By hand: half an hour of emulation is too slow for every run.
set -eu
boot=--systemd
[ "${1:-}" != --plain ] || { boot='' && shift; }
[ $# -ge 1 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
build=$1 here=$(dirname "$0")
shift
[ $# -gt 0 ] || set -- tests/unit/runtime/container/test-cgroup tests/unit/metrics/test-sampler \
	tests/integration/net/test-net tests/integration/net/test-net6 \
	tests/integration/net/test-eni tests/integration/net/test-eni-vlan \
	tests/integration/shim/test-shim tests/integration/shim/test-health \
	tests/integration/shim/test-rootfs tests/integration/engine/test-engine tests/integration/engine/test-fields \
	tests/integration/engine/test-stops tests/integration/engine/test-limits tests/integration/engine/test-volumes \
	tests/integration/engine/test-depends tests/integration/engine/test-health \
	tests/integration/engine/test-persistence tests/integration/engine/test-doctor \
	tests/integration/engine/test-offline tests/integration/engine/test-crash \
	tests/integration/engine/test-crash-matrix-{1,2,3}
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
mkdir "$payload/lib"
for program in ecs-shim ecs-image ecs-unpack ecs-volume ecs-pause ecs-init "$@"; do
	[ -e "$build/$program" ] || { echo "v2.sh: $build/$program is not built" >&2 && exit 2; }
	mkdir -p "$payload/$(dirname "$program")"
	strip -o "$payload/$program" "$build/$program"
done
for file in tests/integration/engine/fake-runc.sh tests/unit/metrics/data; do
	mkdir -p "$payload/$(dirname "$file")"
	cp -r "$here/../../$file" "$payload/$file"
done
find "$payload" -type f -perm -u+x -exec ldd {} + 2>/dev/null | awk '$3 ~ /^\// { print $3 }' | sort -u |
	grep -vE '/(libc|libm|libpthread|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$payload/lib/"
echo "$@" >"$payload/programs"
cat >"$payload/run" <<'EOF'
dd if=/dev/zero of=/var/swap bs=1M count=128 2>/dev/null && chmod 600 /var/swap
mkswap /var/swap >/dev/null && swapon /var/swap || echo "# no swap"
export LD_LIBRARY_PATH=/payload/lib abs_top_builddir=/payload abs_top_srcdir=/payload
export CMOCKA_MESSAGE_OUTPUT=TAP LAB_SLOW=${LAB_SLOW:-6}
echo "TAP version 13"
echo "# $(uname -r), $(cat /proc/1/comm), $(stat -fc %T /sys/fs/cgroup), $(runc --version | head -n 1)"
n=0 failed=0
for program in $(cat programs); do
	n=$((n + 1)) began=$(cut -d. -f1 /proc/uptime)
	{
		timeout --foreground 3000 stdbuf -oL ./"$program" 2>err </dev/null
		echo $? >status
	} | sed -u 's/^/    /'
	status=$(cat status)
	took="$(($(cut -d. -f1 /proc/uptime) - began)) s"
	case $status in
	0) echo "ok $n - $program # $took" ;;
	77) echo "ok $n - $program # SKIP" ;;
	*)
		failed=$((failed + 1))
		tail -n 40 err | sed 's/^/    # /'
		echo "not ok $n - $program # status $status, $took"
		;;
	esac
done
echo "1..$n"
exit $((failed > 0))
EOF
{
	"$here/vm.sh" $boot --packages runc,busybox-static,nftables,procps,ca-certificates,iproute2,iputils-ping "$payload" \
		"export LAB_SLOW=${LAB_SLOW:-6} ${ENGINE_TEST_ONLY:+ENGINE_TEST_ONLY='$ENGINE_TEST_ONLY'} \
			${CRASH_POINT:+CRASH_POINT=$CRASH_POINT}; sh ./run" && status=0 || status=$?
	echo "$status" >"$payload/status"
} | sed -un 's/\r//g; s/^.*\(TAP version\)/\1/; /^TAP version/,/^1\.\./p' # without what the machine says of itself
exit "$(cat "$payload/status")"
