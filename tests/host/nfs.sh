#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# NFS volumes against a real server, with the kernel's NFS client, in a virtual machine:
#   make tests/host/test-nfs && tests/host/nfs.sh BUILD-DIR
# By hand: a few minutes of emulation are too slow for every run of the tests.
set -eu
[ $# -eq 1 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
build=$1
here=$(dirname "$0")
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
mkdir "$payload/lib"
for program in ecs-shim ecs-image ecs-unpack ecs-volume ecs-pause tests/host/test-nfs; do
	[ ! -e "$build/$program" ] || cp "$build/$program" "$payload/"
done
ldd "$payload"/test-nfs "$payload"/ecs-* 2>/dev/null | awk '$3 ~ /^\// { print $3 }' | sort -u |
	grep -vE '/(libc|libm|libpthread|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$payload/lib/"
# The export is the root of the server's tree, as EFS has it.
cat >"$payload/serve" <<'EOF'
set -e
mkdir -p /srv/data && echo served >/srv/data/file
echo '/srv *(rw,fsid=0,no_root_squash,insecure,no_subtree_check)' >/etc/exports
mount -t nfsd nfsd /proc/fs/nfsd
echo 10 >/proc/fs/nfsd/nfsv4leasetime
echo 10 >/proc/fs/nfsd/nfsv4gracetime
exportfs -ra
rpc.nfsd --no-nfs-version 3 4
rpc.mountd --no-nfs-version 3
EOF
"$here/vm.sh" --packages nfs-kernel-server,nfs-common,runc,busybox-static,nftables "$payload" '
modprobe -a nfs nfsv4 nfsd overlay || exit 1
LD_LIBRARY_PATH=/payload/lib abs_top_builddir=/payload LAB_SLOW=6 ./test-nfs /payload/serve'
