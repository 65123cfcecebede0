# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# machine - boots a virtual machine beside the laboratory of packaging/lab.sh, and runs commands in it. Everything is
# in LAB_DIR: disk.qcow2, console.log, seed/ (what cloud-init and dpkg are given), shell.in and shell.out.
# The machine sees this network namespace's 127.0.0.1 as 10.0.2.2 and nothing else.

# Lays a disk over an image of make-image.sh, in place of one that was there: vm_disk NAME
vm_disk() {
	rm -rf "$LAB_DIR"/{disk.qcow2,seed,shell.in,shell.out}
	qemu-img create -q -f qcow2 -F raw -b "$1.img" "$LAB_DIR/disk.qcow2"
	echo "$1" >"$LAB_DIR/image"
	mkdir -p "$LAB_DIR/seed"
	mkfifo "$LAB_DIR/shell.in" "$LAB_DIR/shell.out"
	printf 'instance-id: i-%s\nlocal-hostname: ecs-vm\n' "${LAB_DIR##*.}" >"$LAB_DIR/seed/meta-data"
}

# Switches the machine on: vm_start KERNEL-WORDS [QEMU-OPTION ...]
vm_start() {
	local words=$1 image accel=tcg,thread=multi
	shift
	image=$(cat "$LAB_DIR/image")
	# A processor without them has a /dev/kvm, too, where the kernel offers some other kind of machine, in which
	# Debian's kernel does not boot.
	! grep -qwE 'vmx|svm' /proc/cpuinfo || [ ! -w /dev/kvm ] || accel=kvm
	# shellcheck disable=SC2054 # commas are qemu's
	lab_daemon machine qemu-system-x86_64 -accel "$accel" -smp "${VM_CPUS:-1}" -m 1024 -display none -nodefaults \
		-kernel "$image.kernel" -initrd "$image.initrd" \
		-append "root=/dev/vda rw console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off apparmor=0 selinux=0 audit=0 rcupdate.rcu_expedited=1 $words" \
		-drive "file=$LAB_DIR/disk.qcow2,if=virtio,format=qcow2,discard=unmap" \
		-drive "if=virtio,format=vvfat,dir=$LAB_DIR/seed,label=CIDATA,read-only=on" \
		-nic user,model=virtio-net-pci \
		-chardev "file,id=console,path=$LAB_DIR/console.log,append=on" -serial chardev:console \
		-device virtio-serial-pci -chardev "pipe,id=shell,path=$LAB_DIR/shell" \
		-device virtserialport,chardev=shell,name=vm.shell "$@"
	vm_await_boot
}

# Waits until a boot got as far as to run commands.
vm_await_boot() {
	local line seconds
	seconds=$(lab_limit 180)
	# Open for writing too: it does not end when the machine does.
	exec {vm_out}<>"$LAB_DIR/shell.out"
	while read -r -t "$seconds" -u "$vm_out" line; do
		[[ $line != hello\ * ]] || break
	done
	exec {vm_out}>&-
	[[ $line == hello\ * ]] || lab_die "the machine did not boot, see $LAB_DIR/console.log"
}

# Runs a command in the machine, prints what it prints, and has its status; 124 when it takes too long:
# vm [-t SECONDS] COMMAND
vm() {
	local seconds=60 id=$RANDOM$RANDOM got status text
	[ "$1" != -t ] || { seconds=$2 && shift 2; }
	seconds=$(lab_limit "$seconds")
	exec {vm_out}<>"$LAB_DIR/shell.out"
	printf '%s %s %s\n' "$id" "$seconds" "$(base64 -w0 <<<"$1")" >"$LAB_DIR/shell.in"
	while read -r -t "$((seconds + 10))" -u "$vm_out" got status text; do # the machine ends it
		[ "$got" != "$id" ] || break
	done
	exec {vm_out}>&-
	[ "$got" = "$id" ] || { echo "no answer within $seconds s: $1" >&2 && return 124; }
	base64 -d <<<"$text"
	return "$status"
}

# Waits until a command in the machine succeeds; the machine does the waiting: vm_wait SECONDS WHAT COMMAND
vm_wait() {
	local seconds
	seconds=$(lab_limit "$1")
	vm -t "$1" "for ((i = $seconds * 2; i > 0; i--)); do { $3; } >/dev/null 2>&1 && exit; sleep 0.5; done; exit 1" ||
		lab_die "timed out after $seconds s in the machine: $2"
}

# Waits until the machine has switched itself off: vm_await_off SECONDS
vm_await_off() { lab_wait "$1" "the machine to switch itself off" eval '! lab_running machine'; }

vm_cut_power() { lab_stop machine KILL; }
