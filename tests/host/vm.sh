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
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
key=$(echo "$codename$packages" | sha256sum | cut -c1-12)
for program in mmdebstrap qemu-system-x86_64 mkfs.ext4; do
	command -v "$program" >/dev/null || { echo "vm.sh: needs $program" >&2 && exit 77; }
done

make_root() {
	work=$(mktemp -d "$cache/root.XXXXXX")
	set --
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ ! -s "$f" ] || set -- "$@" "$f"
	done
	mmdebstrap --quiet --variant=minbase --include="linux-image-cloud-amd64,initramfs-tools,kmod,iproute2$packages" \
		--dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
		--dpkgopt=path-exclude=/usr/share/locale/* "$codename" "$work/root" "$@"
	cat >"$work/root/sbin/vm-init" <<'EOF'
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
	cat >"$work/root/sbin/vm-session" <<'EOF'
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
	chmod 755 "$work/root/sbin/vm-init" "$work/root/sbin/vm-session"
	cp "$work"/root/boot/vmlinuz-* "$cache/$key.kernel"
	cp "$work"/root/boot/initrd.img-* "$cache/$key.initrd"
	rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
	mkfs.ext4 -q -d "$work/root" "$work/root.img" 2G
	mv "$work/root.img" "$cache/$key.img" # last: what it finds is whole
	rm -rf "$work"
}

mkdir -p "$cache"
[ -s "$cache/$key.img" ] || make_root
run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
cp -a "$payload" "$run/payload"
echo "$command" >"$run/payload/vm-command"
mkfs.ext4 -q -d "$run/payload" "$run/payload.img" $(($(du -sm "$run/payload" | cut -f1) * 2 + 64))M
qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 1024 -nic none -nographic -no-reboot -snapshot \
	-kernel "$cache/$key.kernel" -initrd "$cache/$key.initrd" \
	-append "root=/dev/vda rw $boot console=ttyS0 quiet loglevel=3 panic=-1" \
	-drive "file=$cache/$key.img,if=virtio,format=raw" -drive "file=$run/payload.img,if=virtio,format=raw" \
	</dev/null 2>&1 | tee "$run/console"
status=$(tr -d '\r' <"$run/console" | sed -n 's/^vm-status \([0-9]*\)$/\1/p' | tail -n 1)
exit "${status:-1}"
