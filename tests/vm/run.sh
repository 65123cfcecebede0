#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The host test: virtual machines with Debian, systemd and cloud-init, in which the package is installed and lives
# through what hosts live through:
#   tests/vm/run.sh [--prepare] BUILD-DIR [FILE.bats ...]
# Makes the package from the tree and the images, which stay in VM_CACHE (default /var/tmp/ecs-vm), then runs the
# files of tests/vm, two machines at a time, and prints TAP. --prepare: only what can be made beforehand. Needs root
# and packaging/install-deps.sh --test --package; takes /dev/kvm where it works and emulates elsewhere, where LAB_SLOW=N
# makes all limits of time N times as long.
set -euo pipefail
prepare=
[ "${1:-}" != --prepare ] || { prepare=1 && shift; }
if [ $# -lt 1 ] || [ ! -x "$1/ecs-controlplane" ]; then
	sed -n '3,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
cache=${VM_CACHE:-/var/tmp/ecs-vm}
for program in mmdebstrap qemu-system-x86_64 qemu-img mkfs.ext4 dpkg-buildpackage dpkg-scanpackages gpg bats; do
	command -v $program >/dev/null || { echo "1..0 # SKIP $program is not here" && exit 77; }
done
mkdir -p "$cache"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The same files make the same package: it is made again when one of them changed.
make_package() {
	local tarball key
	exec 7>"$build/dist.lock" # tests/packaging/packages.sh makes it, too
	flock 7
	rm -f "$build"/ecs-agent-*.tar.xz
	make -s -C "$build" dist >&2
	cp "$build"/ecs-agent-*.tar.xz "$out/"
	exec 7>&-
	tarball=$(echo "$out"/ecs-agent-*.tar.xz)
	key=$(tar -xJOf "$tarball" --exclude='*/tests/*' --exclude='*/docs/*.md' --exclude=Makefile.in | sha256sum | cut -c1-12)
	package=$cache/package-$key
	exec 8>"$package.lock"
	flock 8
	if [ ! -d "$package" ]; then
		rm -rf "$cache"/package-*/ "$package.tmp"
		DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS:-}" "$here/../../packaging/make-deb.sh" "$tarball" "$package.tmp" "$cache" >&2
		make_newer "$package.tmp"
		mv "$package.tmp" "$package"
	fi
	flock -u 8
}

# The next version of the package, with the same programs.
make_newer() { # dir
	local tree=$1/newer
	dpkg-deb -R "$1"/ecs-agent_*.deb "$tree"
	sed -i 's/^Version: .*/&+newer/' "$tree/DEBIAN/control"
	mkdir "$1/next"
	dpkg-deb -b --root-owner-group "$tree" "$1/next" >/dev/null
	rm -rf "$tree"
}

in_namespace() { unshare --mount "$@" 8>&-; }

make_package
VM_PACKAGE=$(echo "$package"/ecs-agent_*.deb)
VM_PACKAGE_NEWER=$(echo "$package"/next/*.deb)
VM_IMAGE=$(in_namespace "$here/make-image.sh" "$cache")
VM_IMAGE_INSTALLED=$(in_namespace "$here/make-image.sh" "$cache" "$VM_PACKAGE")
export VM_IMAGE VM_IMAGE_INSTALLED VM_PACKAGE VM_PACKAGE_NEWER ECS_BUILD_DIR=$build
[ -z "$prepare" ] || exit 0

[ $# -gt 0 ] || set -- "$here"/{v2,user-data,v1}.bats
# shellcheck disable=SC2317 # by xargs
one() {
	timeout --kill-after=60 $((1200 * ${LAB_SLOW:-1})) \
		unshare --net --mount bats --formatter tap --timing "$2" >"$1/$(basename "$2")" 2>&1 || true
}
export -f one
printf '%s\n' "$@" | xargs -P 2 -I{} bash -c 'one "$@"' - "$out" {}

# One plan over all of them; a file that broke off is a failure.
n=0 failed=0
for file; do
	tap=$out/$(basename "$file") planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$out/$(basename "$file")") seen=0
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			n=$((n + 1)) seen=$((seen + 1))
			[[ $line == ok* ]] || failed=1
			sed -E "s,^(not ok|ok) [0-9]+ ,\1 $n - $(basename "$file" .bats): ," <<<"$line"
			;;
		1..*) ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$tap"
	[ "$seen" = "${planned:-none}" ] || {
		n=$((n + 1)) failed=1
		echo "not ok $n - $(basename "$file" .bats): all of its ${planned:-} tests were run"
	}
done
echo "1..$n"
exit $failed
