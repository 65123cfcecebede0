#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the root of a virtual machine: this host's Debian, from this host's own package sources, with the cloud
# kernel and what PACKAGES names:
#   tests/vm/make-root.sh CACHE-DIR PACKAGE[,PACKAGE...]
# Prints a prefix: PREFIX.root is the tree, PREFIX.kernel and PREFIX.initrd boot it. Made once per release and
# list of packages; who comes meanwhile waits. Status 77: a program that this needs is not here.
set -eu
[ $# -eq 2 ] || { sed -n '3,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
cache=$1
packages=linux-image-cloud-amd64,initramfs-tools,kmod,iproute2,$2
for program in mmdebstrap qemu-system-x86_64 qemu-img mkfs.ext4; do
	command -v "$program" >/dev/null || { echo "make-root.sh: needs $program" >&2 && exit 77; }
done
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
prefix=$cache/$(echo "$codename $packages" | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$prefix.lock"
flock 9
if [ ! -d "$prefix.root" ]; then
	set --
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ ! -s "$f" ] || set -- "$@" "$f"
	done
	rm -rf "$prefix.tmp"
	# An initrd with the disk's drivers alone is made in a moment and boots sooner.
	# shellcheck disable=SC2016 # mmdebstrap's shell expands it
	hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
		printf "MODULES=list\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n" >"$1/etc/initramfs-tools/conf.d/vm"
		printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/vm"'
	mmdebstrap --quiet --variant=minbase --include="$packages" --essential-hook="$hook" --dpkgopt=force-unsafe-io \
		--dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
		--dpkgopt=path-exclude=/usr/share/locale/* "$codename" "$prefix.tmp" "$@" >"$prefix.log" 2>&1 || {
		tail -n 20 "$prefix.log" >&2
		exit 1
	}
	rm -rf "$prefix.tmp"/var/cache/apt/* "$prefix.tmp"/var/lib/apt/lists/*
	rm -f "$prefix.tmp"/etc/apt/sources.list "$prefix.tmp"/etc/apt/sources.list.d/*
	cp "$prefix.tmp"/boot/vmlinuz-* "$prefix.kernel"
	cp "$prefix.tmp"/boot/initrd.img-* "$prefix.initrd"
	mv "$prefix.tmp" "$prefix.root" # last: what is found is whole
fi
echo "$prefix"
