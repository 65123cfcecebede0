#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a virtual machine with a kernel of its own, for what this host's kernel has not:
#   tests/host/vm.sh [--systemd] [--packages a,b] PAYLOAD-DIR COMMAND
# The machine has this host's Debian from this host's own package sources, the cloud kernel, cgroup v2 only
# and no network but loopback; PAYLOAD-DIR is at /payload, and COMMAND is run there by sh as root: below
# the machine's first process, or with --systemd in a unit of the systemd that is that process.
# The root is kept in VM_CACHE (default /var/tmp/ecs-vm) per list of packages. Emulated: slow, and no KVM
# is needed. Needs mmdebstrap, qemu-system-x86 and e2fsprogs. Ends with the command's status.
set -eu
packages='' boot=init=/sbin/vm-init
if [ "${1:-}" = --systemd ]; then
	packages=,systemd-sysv boot="init=/sbin/init systemd.run=/sbin/vm-session systemd.unified_cgroup_hierarchy=1"
	# Emulated, what prepares a machine for people takes longer than it is waited for.
	boot="$boot systemd.default_timeout_start_sec=900"
	for unit in udev-trigger udevd journal-flush tmpfiles-setup tmpfiles-setup-dev sysctl sysusers \
		random-seed update-utmp modules-load; do
		boot="$boot systemd.mask=systemd-$unit.service"
	done
	shift
fi
[ "${1:-}" != --packages ] || { packages=$packages,$2 && shift 2; }
[ $# -eq 2 ] || { sed -n '3,10s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
payload=$1 command=$2
cache=${VM_CACHE:-/var/tmp/ecs-vm}
make_image() {
	cat >"$root.root/sbin/vm-init" <<'EOF'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec /sbin/vm-session
EOF
	cat >"$root.root/sbin/vm-session" <<'EOF'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
exec >/dev/console 2>&1
mkdir -p /payload
ip link set lo up
mount /dev/vdb /payload
cd /payload && sh ./vm-command
echo "vm-status $?"
sync
echo o >/proc/sysrq-trigger
sleep 60
EOF
	chmod 755 "$root.root/sbin/vm-init" "$root.root/sbin/vm-session"
	mkfs.ext4 -q -d "$root.root" "$root.tmp" 2G
	mv "$root.tmp" "$root.img" # last: what is found is whole
}

root=$("$(dirname "$0")/../vm/make-root.sh" "$cache" "${packages#,}")
[ -s "$root.img" ] || make_image
run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
cp -a "$payload" "$run/payload"
echo "$command" >"$run/payload/vm-command"
mkfs.ext4 -q -d "$run/payload" "$run/payload.img" $(($(du -sm "$run/payload" | cut -f1) * 2 + 64))M
qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 1024 -nic none -nographic -no-reboot -snapshot \
	-kernel "$root.kernel" -initrd "$root.initrd" \
	-append "root=/dev/vda rw $boot console=ttyS0 quiet loglevel=3 panic=-1" \
	-drive "file=$root.img,if=virtio,format=raw" -drive "file=$run/payload.img,if=virtio,format=raw" \
	</dev/null 2>&1 | tee "$run/console"
status=$(tr -d '\r' <"$run/console" | sed -n 's/^vm-status \([0-9]*\)$/\1/p' | tail -n 1)
exit "${status:-1}"
