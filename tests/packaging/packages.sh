#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes all packages from a configured build directory and looks at them: packages.sh [--once] BUILD-DIR
# Some minutes. All are made twice and compared, but with --once; the RPMs are installed into a root of their own
# and removed again. Needs packaging/install-deps.sh --package, and root for the RPMs' root. Prints TAP.
set -u
once=
[ "${1:-}" != --once ] || { once=1 && shift; }
if [ $# -ne 1 ] || [ ! -e "$1/Makefile" ]; then
	sed -n '3,5s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
for command in dpkg-buildpackage lintian rpmbuild rpmlint; do
	command -v $command >/dev/null || { echo "1..0 # SKIP $command is not here" && exit 77; }
done
dir=$(mktemp -d /var/tmp/ecs-packages.XXXXXX)
trap 'rm -rf "$dir"' EXIT
n=0 failed=0
result() { # status description [file]
	n=$((n + 1))
	[ "$1" -eq 0 ] && echo "ok $n - $2" && return
	failed=1
	echo "not ok $n - $2"
	[ -z "${3:-}" ] || sed 's/^/# /' "$3"
}

is_same() { # dir dir deb|rpm
	(cd "$dir/$1" && sha256sum ./*."$3") >"$dir/sums"
	(cd "$dir/$2" && sha256sum -c --quiet "$dir/sums") >"$dir/log" 2>&1
	result $? "both rounds gave the same $3 packages, byte for byte" "$dir/log"
}

made=$("$top/tests/packaging/make-package.sh" "$build" 2>"$dir/log")
result $? "Debian packages" "$dir/log"
tarball=$(echo "$made"/ecs-agent-*.tar.xz)
if [ -n "$once" ]; then
	cp -r "$made" "$dir/one"
else # not those that were kept: whoever made them may have packed them otherwise
	for round in one two; do
		"$top/packaging/make-deb.sh" "$tarball" "$dir/$round" >"$dir/log" 2>&1
		result $? "Debian packages, round $round" "$dir/log"
	done
fi
[ -n "$once" ] || is_same one two deb
lintian --allow-root --fail-on error,warning "$dir"/one/ecs-agent_*.deb "$dir"/one/ecs-controlplane_*.deb >"$dir/log" 2>&1
result $? "lintian has no error and no warning" "$dir/log"
mkdir "$dir/root"
for package in ecs-agent ecs-controlplane; do
	dpkg-deb -x "$dir/one/${package}"_*.deb "$dir/root"
done
find "$dir/root" -type f -perm /111 -printf '%P\n' | sort >"$dir/programs"
printf '%s\n' usr/bin/ecsctl usr/libexec/ecs-agent/ecs-{image,init,pause,shim,unpack,volume} usr/sbin/ecs-{agent,controlplane} |
	comm -23 - "$dir/programs" >"$dir/log"
[ ! -s "$dir/log" ]
result $? "every program is in a package" "$dir/log"
ls "$dir/root/usr/share/doc/ecs-agent" >"$dir/log"
grep -q '^operating.md' "$dir/log" && grep -qx 'examples' "$dir/log"
result $? "the operators' document and the examples come along" "$dir/log"
"$dir/root/usr/sbin/ecs-agent" -version | grep -q 'Amazon ECS Agent - v'
result $? "the packaged agent runs"
dpkg-deb -I "$dir"/one/ecs-agent_*.deb control >"$dir/control"
grep -qx ' *Conflicts: amazon-ecs-init, ecs-init' "$dir/control" && grep -q 'Depends:.* runc (>= 1.1.5), systemd' "$dir/control"
result $? "the Debian package asks for runc and systemd, and goes not beside those it replaces" "$dir/control"
! dpkg-deb -I "$dir"/one/ecs-agent_*.deb conffiles 2>/dev/null | grep . >"$dir/log" &&
	[ ! -e "$dir/root/etc/ecs/ecs.config" ] && [ -e "$dir/root/usr/share/ecs-agent/ecs.config" ]
result $? "dpkg knows no settings that it could overwrite" "$dir/log"
symbols() { dpkg-deb -c "$dir/one/$1-dbgsym"_*.deb | grep '/usr/lib/debug/.build-id/.*\.debug$' >/dev/null; }
symbols ecs-agent && symbols ecs-controlplane && ! readelf -S "$dir/root/usr/sbin/ecs-agent" | grep '\.debug_info' >/dev/null
result $? "debug symbols are in packages of their own"

# ---- RPM ----
"$top/packaging/make-rpm.sh" "$tarball" "$dir/rpm" >"$dir/log" 2>&1
result $? "RPM packages, round one" "$dir/log"
if [ -z "$once" ]; then
	"$top/packaging/make-rpm.sh" "$tarball" "$dir/rpm-two" >"$dir/log" 2>&1
	result $? "RPM packages, round two" "$dir/log"
	is_same rpm rpm-two rpm
fi
rpmlint -c "$top/packaging/rpm/rpmlint.toml" "$dir"/rpm/ecs-agent-[0-9]*.rpm "$dir"/rpm/ecs-controlplane-[0-9]*.rpm \
	"$top/packaging/rpm/ecs-agent.spec" >"$dir/log" 2>&1
grep -q ' 0 errors, 0 warnings' "$dir/log"
result $? "rpmlint has no error and no warning" "$dir/log"
agent=$(echo "$dir"/rpm/ecs-agent-[0-9]*.rpm)
rpm -qp --requires "$agent" >"$dir/requires"
grep -q '^runc >= 1.1.5$' "$dir/requires" && grep -q '^systemd$' "$dir/requires" && grep -q '^libnftables.so' "$dir/requires"
result $? "it asks for runc, systemd and its libraries" "$dir/requires"
rpm -qp --conflicts "$agent" | sort | tr '\n' ' ' | grep -qx 'amazon-ecs-init ecs-init '
result $? "it does not go beside the packages it replaces"
[ "$(rpm -qp --configfiles "$agent")" = /etc/ecs/ecs.config ]
result $? "its one configuration file is ecs.config"

# A root with a shell, and a systemctl that takes notes.
sys=$dir/sysroot
mkdir -p "$sys"/{bin,dev,usr/bin,etc/ecs,var/lib/rpm}
: >"$sys/dev/null" # a file will do
cp "$(command -v busybox)" "$sys/bin/busybox"
for applet in sh echo; do ln -s busybox "$sys/bin/$applet"; done
printf '#!/bin/sh\necho "systemctl $*" >>/notes\n' >"$sys/usr/bin/systemctl"
chmod +x "$sys/usr/bin/systemctl"
echo ECS_CLUSTER=mine >"$sys/etc/ecs/ecs.config" # as user data does
in_root() { rpm --root "$sys" --dbpath /var/lib/rpm --nodeps "$@" >"$dir/log" 2>&1; }
in_root -i "$agent" "$dir"/rpm/ecs-controlplane-[0-9]*.rpm
result $? "it is installed into a root" "$dir/log"
grep -qx 'systemctl --no-reload enable ecs.service' "$sys/notes" && ! grep -q ' start' "$sys/notes"
result $? "it is enabled and not started" "$sys/notes"
[ "$(cat "$sys/etc/ecs/ecs.config")" = ECS_CLUSTER=mine ]
result $? "settings that were there stay"
in_root -V ecs-agent || ! grep -v ' c /etc/ecs/ecs.config$' "$dir/log" >"$dir/odd"
result $? "every file is as it was packaged" "$dir/log"
chmod 0700 "$sys/usr/bin/ecsctl"
! in_root -V ecs-agent && grep -q '/usr/bin/ecsctl$' "$dir/log" && chmod 0755 "$sys/usr/bin/ecsctl"
result $? "a file that is not would be noticed" "$dir/log"
for unit in ecs ecs-boot ecs-drain ecs-controlplane; do
	SYSTEMD_UNIT_PATH=$sys/usr/lib/systemd/system:/lib/systemd/system:/usr/lib/systemd/system \
		systemd-analyze verify --man=no "$sys/usr/lib/systemd/system/$unit.service" 2>&1 |
		grep "$unit.service" | grep -v 'is not executable'
done >"$dir/log"
[ ! -s "$dir/log" ] && grep -qx 'ExecStart=/usr/sbin/ecs-agent' "$sys/usr/lib/systemd/system/ecs.service"
result $? "the units are where systemd looks, and it understands them" "$dir/log"
: >"$sys/notes"
in_root -U --force "$agent" && grep -qx 'systemctl try-restart ecs.service' "$sys/notes" && ! grep -q ' stop ' "$sys/notes"
result $? "an upgrade restarts the agent if it runs, and stops nothing" "$sys/notes"
[ "$(cat "$sys/etc/ecs/ecs.config")" = ECS_CLUSTER=mine ]
result $? "and leaves the settings as they are"
: >"$sys/notes"
in_root -e ecs-agent ecs-controlplane && grep -qx 'systemctl stop ecs-drain.service' "$sys/notes"
result $? "a removal ends tasks first" "$sys/notes"
find "$sys" -path "$sys/var/lib/rpm" -prune -o \( -name '*ecs*' ! -path "$sys/etc/ecs*" \) -print >"$dir/log"
[ ! -s "$dir/log" ]
result $? "and nothing but settings stays" "$dir/log"
echo "1..$n"
exit $failed
