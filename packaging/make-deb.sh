#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes Debian packages from the tarball of `make dist`: make-deb.sh TARBALL OUTPUT-DIR [BUILD-DIR]
# The same tarball gives the same packages, byte for byte.
set -eu
[ $# -ge 2 ] || { sed -n '3,4s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
tarball=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
name=$(basename "$tarball" .tar.xz)
work=$(mktemp -d "${3:-${TMPDIR:-/var/tmp}}/deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$tarball" "$work/$(echo "$name" | sed 's/-\([0-9]\)/_\1/').orig.tar.xz"
tar -C "$work" -xf "$tarball"
cp -r "$work/$name/packaging/deb" "$work/$name/debian"
cd "$work/$name"
umask 022
if ! DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -b -us -uc >"$work/log" 2>&1; then
	tail -n 40 "$work/log" >&2
	exit 1
fi
cd "$work"
mv ./*.deb ./*.changes ./*.buildinfo "$output"
ls "$output"/*.deb
