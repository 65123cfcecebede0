#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the tarball and the Debian packages of a configured build directory's tree for the tests that look at them and
# for those that install them: make-package.sh BUILD-DIR
# The same files make the same packages: they are made again when one of them changed, and stay in VM_CACHE (default
# /var/tmp/ecs-vm). Prints the directory that holds them.
set -euo pipefail
if [ $# -ne 1 ] || [ ! -e "$1/Makefile" ]; then
	sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
cache=${VM_CACHE:-/var/tmp/ecs-vm}
mkdir -p "$cache"
exec 8>"$cache/package.lock"
flock 8
rm -f "$build"/ecs-agent-*.tar.xz
make -s -C "$build" dist >&2
tarball=$(echo "$build"/ecs-agent-*.tar.xz)
key=$(tar -xJOf "$tarball" --exclude='*/tests/*' --exclude=Makefile.in | sha256sum | cut -c1-12)
package=$cache/package-$key
if [ ! -d "$package" ]; then
	rm -rf "$cache"/package-*/
	"$top/packaging/make-deb.sh" "$tarball" "$package.tmp" "$cache" >&2
	mv "$tarball" "$package.tmp/"
	mv "$package.tmp" "$package"
fi
echo "$package"
