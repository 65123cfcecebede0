#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the packages that building, running and testing need, on Debian/Ubuntu (apt) and on
# Fedora/Amazon Linux (dnf). Says what it does; does nothing when all of it is there.
# shellcheck disable=SC2034 # the package lists are read through ${!list}
set -euo pipefail

usage() {
	cat <<'TEXT'
usage: packaging/install-deps.sh [--build] [--run] [--test] [--package] [--bench] [--dry-run]

  --build    compilers, autotools and libraries
  --run      what the installed agent and the quickstart call: runc, a registry, the AWS CLI
  --test     what tests/run.sh needs beside those
  --package  what make deb and make rpm call, and what looks at their results
  --bench    the peers that tests/bench/net compares with
  --dry-run  print what would be installed and stop

Without a group, the first three are installed. Needs root unless nothing is missing.
TEXT
}

# Names on Debian and Ubuntu. Those of Fedora and Amazon Linux stand below, in the same order.
apt_build="autoconf automake make gcc pkg-config libcgroup-dev libcurl4-openssl-dev
	libisal-dev libjansson-dev libmicrohttpd-dev libnftables-dev libnl-route-3-dev libseccomp-dev libsqlite3-dev libssl-dev
	libsystemd-dev libwslay-dev libzstd-dev zlib1g-dev"
apt_run="runc awscli busybox-static ca-certificates curl docker-registry iproute2 jq mmdebstrap nftables skopeo
	umoci"
apt_test="bats buildah clang clang-format cloud-init debhelper dpkg-dev e2fsprogs gnupg libarchive-dev libclang-rt-14-dev
	libcmocka-dev apache2-utils iptables iputils-ping mandoc openssl procps python3 python3-boto3 python3-botocore python3-jsonschema
	qemu-system-x86 qemu-utils shellcheck socat sqlite3 strace xz-utils"
apt_package="debhelper dpkg-dev lintian rpm rpmlint"
apt_bench="containernetworking-plugins iperf3"

dnf_build="autoconf automake make gcc glibc-static pkgconf-pkg-config libcgroup-devel
	libcurl-devel jansson-devel libmicrohttpd-devel nftables-devel libnl3-devel libseccomp-devel sqlite-devel
	openssl-devel systemd-devel wslay-devel libzstd-devel zlib-devel"
[ ! -e /etc/fedora-release ] || dnf_build="$dnf_build isa-l-devel" # elsewhere zlib does as well
dnf_run="runc awscli2 busybox ca-certificates curl docker-distribution iproute jq nftables skopeo"
dnf_test="bats clang clang-tools-extra cloud-init compiler-rt libarchive-devel libcmocka-devel httpd-tools iptables-nft iputils mandoc
	openssl procps-ng python3 python3-boto3 python3-botocore python3-jsonschema ShellCheck socat sqlite strace xz"
dnf_package="rpm-build rpmlint"
dnf_bench="containernetworking-plugins iperf3"

groups=() dry_run=
while [ $# -gt 0 ]; do
	case $1 in
	--build | --run | --test | --package | --bench) groups+=("${1#--}") ;;
	--dry-run) dry_run=1 ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
[ ${#groups[@]} -gt 0 ] || groups=(build run test)

if command -v apt-get >/dev/null; then
	manager=apt
	installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
elif command -v dnf >/dev/null; then
	manager=dnf
	installed() { rpm -q --whatprovides "$1" >/dev/null 2>&1; }
else
	echo "install-deps: neither apt-get nor dnf is here; install by hand what this script lists" >&2
	exit 1
fi

missing=()
for group in "${groups[@]}"; do
	list=${manager}_$group
	for package in ${!list}; do
		installed "$package" || missing+=("$package")
	done
done

if [ ${#missing[@]} -eq 0 ]; then
	echo "install-deps: all packages for ${groups[*]} are there"
	exit 0
fi
echo "install-deps: installing ${#missing[@]} packages with $manager: ${missing[*]}"
[ -z "$dry_run" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "install-deps: run as root: sudo $0" >&2
	exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ $manager = apt ]; then
	export DEBIAN_FRONTEND=noninteractive
	# docker-registry's package starts a service; the scripts here run their own on a loopback port.
	{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1
else
	dnf install -y --setopt=install_weak_deps=False "${missing[@]}" >"$log" 2>&1
fi || {
	tail -n 30 "$log" >&2
	echo "install-deps: $manager failed, its last lines stand above" >&2
	exit 1
}
echo "install-deps: done"
