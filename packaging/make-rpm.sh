#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes RPM packages from the tarball of `make dist`: make-rpm.sh TARBALL OUTPUT-DIR [BUILD-DIR]
# Where dpkg has the build requirements instead of rpm, rpmbuild does not look for them. The spec fixes what a
# build would put in of time and host, so that packages can be compared.
set -eu
[ $# -ge 2 ] || { sed -n '3,5s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
tarball=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
# The same path each time: it stands in debug information, and with it in the identity of the build.
work=${3:-${TMPDIR:-/var/tmp}}/ecs-agent-rpm-build
mkdir "$work" || { echo "make-rpm: another build is under way in $work, or was cut off" >&2 && exit 1; }
trap 'rm -rf "$work"' EXIT
mkdir "$work/SOURCES"
cp "$tarball" "$work/SOURCES"
name=$(basename "$tarball" .tar.xz)
tar -C "$work" --strip-components=3 -xf "$tarball" "$name/packaging/rpm/ecs-agent.spec"
set --
[ ! -e /var/lib/dpkg/status ] || set -- --nodeps
[ -z "${ECS_GIT_HASH:-}" ] || set -- "$@" --define "ecs_git_hash $ECS_GIT_HASH"
umask 022
if ! rpmbuild -bb "$@" --define "_topdir $work" --define "_smp_mflags -j$(nproc)" "$work/ecs-agent.spec" \
	>"$work/log" 2>&1; then
	tail -n 40 "$work/log" >&2
	exit 1
fi
mv "$work"/RPMS/*/*.rpm "$output"
ls "$output"/*.rpm
