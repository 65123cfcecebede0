#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the disk of a virtual machine that cloud-init sets up, as people start hosts from:
#   tests/vm/make-image.sh CACHE-DIR [PACKAGE.deb]
# With PACKAGE.deb it is in the image already. Prints the image's name without its ends: NAME.img, NAME.kernel,
# NAME.initrd. Kept in CACHE-DIR by content. Needs root, and a mount namespace of its own.
set -eu
[ $# -ge 1 ] || { sed -n '3,6s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
cache=$1 deb=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
# What the package depends on, so that dpkg alone can install it; packages.sh and the tests hold them together.
packages=systemd-sysv,dbus,udev,cloud-init,gnupg,runc,nftables,busybox-static,ca-certificates,procps,libcgroup2,libcurl4
packages=$packages,libisal2,libjansson4,libmicrohttpd12,libnftables1,libnl-route-3-200,libseccomp2,libsqlite3-0,libwslay1
prefix=$("$here/make-root.sh" "$cache" "$packages")
name=$prefix-$(cat "$0" "$here"/guest/* ${deb:+"$deb"} | sha256sum | cut -c1-12)
ln -sf "$(basename "$prefix.kernel")" "$name.kernel"
ln -sf "$(basename "$prefix.initrd")" "$name.initrd"
exec 9>"$name.lock"
flock 9
if [ ! -s "$name.img" ]; then
	work=$(mktemp -d "$cache/image.XXXXXX")
	trap 'umount -l "$work/root" 2>/dev/null || true; rm -rf "$work"' EXIT
	mount -t tmpfs tmpfs "$work" # layers of an overlay have to be on a file system that can be one
	mkdir "$work/root" "$work/upper" "$work/work"
	mount -t overlay overlay -o "lowerdir=$prefix.root,upperdir=$work/upper,workdir=$work/work" "$work/root"
	root=$work/root
	install -m 0755 "$here/guest/vm-shell" "$root/usr/local/sbin/"
	install -m 0644 "$here"/guest/*.service "$here"/guest/*.socket "$root/etc/systemd/system/"
	install -m 0644 "$here/guest/90-vm.cfg" "$root/etc/cloud/cloud.cfg.d/"
	mkdir -p "$root/var/log/journal"
	: >"$root/etc/machine-id"
	echo nameserver 10.0.2.3 >"$root/etc/resolv.conf" # qemu's way to the name server beside the machine
	chroot "$root" systemctl --quiet enable vm-shell.service registry.socket systemd-networkd.service
	# What a machine without people at it does not need, or what waits for the disk.
	chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
		e2scrub_all.timer e2scrub_reap.service getty.target systemd-binfmt.service \
		sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount systemd-pstore.service \
		systemd-update-utmp.service systemd-update-utmp-runlevel.service modprobe@configfs.service modprobe@drm.service
	if [ -n "$deb" ]; then
		cp "$deb" "$root/tmp/it.deb"
		chroot "$root" env DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/it.deb >&2
		rm "$root/tmp/it.deb"
	fi
	mkfs.ext4 -q -d "$root" "$name.tmp" 3G >&2 # which tells of the file that it makes
	umount "$root"
	umount "$work"
	mv "$name.tmp" "$name.img"
	find "$cache" -maxdepth 1 -name '*-*.img' -mtime +2 -delete # of packages that were
fi
echo "$name"
