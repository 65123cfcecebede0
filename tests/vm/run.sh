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

# The next version of a package, with the same programs: make_newer DIRECTORY-OF-THE-PACKAGE
make_newer() {
	local tree=$out/newer
	dpkg-deb -R "$1"/ecs-agent_*.deb "$tree"
	sed -i 's/^Version: .*/&+newer/' "$tree/DEBIAN/control"
	dpkg-deb -Zgzip -z1 -b --root-owner-group "$tree" "$out" >/dev/null
	rm -rf "$tree"
}

package=$("$here/../packaging/make-package.sh" "$build")
VM_PACKAGE=$(echo "$package"/ecs-agent_*.deb)
VM_IMAGE=$(unshare --mount "$here/make-image.sh" "$cache")
VM_IMAGE_INSTALLED=$(unshare --mount "$here/make-image.sh" "$cache" "$VM_PACKAGE")
[ -z "$prepare" ] || exit 0
make_newer "$package"
VM_PACKAGE_NEWER=$(echo "$out"/*.deb)
export VM_IMAGE VM_IMAGE_INSTALLED VM_PACKAGE VM_PACKAGE_NEWER ECS_BUILD_DIR=$build

[ $# -gt 0 ] || set -- "$here"/{v2,user-data,v1}.bats
# shellcheck disable=SC2317 # by xargs
one() {
	timeout --kill-after=60 $((2400 * ${LAB_SLOW:-1})) \
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
