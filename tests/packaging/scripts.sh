#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The maintainer scripts of the Debian package and the scriptlets of the RPM, on directories of our own with
# systemctl replaced by one that takes notes. Prints TAP.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
if [ "$(id -u)" -ne 0 ] || ! unshare --mount true 2>/dev/null; then
	echo "1..0 # SKIP needs root and a mount namespace"
	exit 77
fi
if [ -z "${SCRIPTS_INSIDE:-}" ]; then
	SCRIPTS_INSIDE=1 exec unshare --mount --net --propagation private bash "$0"
fi
dir=$(mktemp -d)
trap 'umount -l "$dir/elsewhere" 2>/dev/null; rm -rf "$dir"' EXIT
n=0 failed=0
result() { # status description [file]
	n=$((n + 1))
	[ "$1" -eq 0 ] && echo "ok $n - $2" && return
	failed=1
	echo "not ok $n - $2"
	[ -z "${3:-}" ] || sed 's/^/# /' "$3"
}

mkdir -p "$dir/bin" "$dir/usr/share/ecs-agent" "$dir/run/systemd/system" "$dir/usr/bin"
for command in systemctl deb-systemd-invoke nft ip; do
	printf '#!/bin/sh\necho "%s $*" >>"%s/notes"\n[ "$*" != "--quiet is-active ecs.service" ] || [ -e "%s/active" ]\n' \
		"$command" "$dir" "$dir" >"$dir/bin/$command"
	chmod +x "$dir/bin/$command"
done
cp "$dir/bin/systemctl" "$dir/usr/bin/systemctl"
cp "$top/packaging/ecs.config" "$dir/usr/share/ecs-agent/"
run() { # script arguments...
	local script=$1
	shift
	: >"$dir/notes"
	sed -E "s,( |\")/(etc|usr/share|usr/bin|run|var),\1$dir/\2,g" "$script" >"$dir/script"
	PATH=$dir/bin:$PATH sh -e "$dir/script" "$@" >"$dir/out" 2>&1
}
noted() { grep -qxF "$1" "$dir/notes"; }
deb=$top/packaging/deb/ecs-agent

run "$deb.postinst" configure ''
k=$?
[ $k = 0 ] && [ "$(stat -c %a "$dir/etc/ecs/ecs.config")" = 600 ] && [ ! -s "$dir/notes" ]
result $? "deb: a new installation has settings and starts nothing" "$dir/notes"
echo ECS_CLUSTER=mine >"$dir/etc/ecs/ecs.config"
: >"$dir/active"
run "$deb.postinst" configure 0.0.9-1 && noted 'deb-systemd-invoke restart ecs.service' &&
	[ "$(cat "$dir/etc/ecs/ecs.config")" = ECS_CLUSTER=mine ]
result $? "deb: an upgrade leaves the settings and restarts an agent that runs" "$dir/notes"
rm "$dir/active"
run "$deb.postinst" configure 0.0.9-1 && ! grep -q restart "$dir/notes"
result $? "deb: an upgrade starts no agent that does not run" "$dir/notes"
run "$deb.prerm" upgrade 0.2 && [ ! -s "$dir/notes" ]
result $? "deb: an upgrade stops neither agent nor tasks" "$dir/notes"
run "$deb.prerm" remove
printf 'systemctl stop %s\n' ecs-drain.service ecs.service ecs-tasks.service | cmp -s - "$dir/notes"
result $? "deb: a removal stops tasks, agent, and what is left, in this order" "$dir/notes"

mkdir -p "$dir/elsewhere" "$dir/var/lib/ecs/data/volumes/a b/_data" "$dir/var/log/ecs" "$dir/run/ecs/netns"
mount -t tmpfs tmpfs "$dir/elsewhere" && echo precious >"$dir/elsewhere/file"
mount --bind "$dir/elsewhere" "$dir/var/lib/ecs/data/volumes/a b/_data"
run "$deb.postrm" remove && [ -e "$dir/etc/ecs/ecs.config" ] && [ -d "$dir/var/lib/ecs" ]
result $? "deb: a removal keeps settings and state"
run "$deb.postrm" purge
k=$?
[ $k = 0 ] && [ -z "$(find "$dir/etc" "$dir/var/lib" "$dir/var/log" "$dir/run" -mindepth 1 ! -path '*systemd*' ! -path '*/run/systemd')" ] &&
	noted 'nft delete table inet ecs' && noted 'ip link delete dev ecs0'
result $? "deb: a purge leaves nothing" "$dir/out"
[ "$(cat "$dir/elsewhere/file")" = precious ]
result $? "deb: a purge does not reach into what was mounted from elsewhere"

# The scriptlets stand between their heading and the next line that starts a section, a comment or nothing.
scriptlet() { # heading
	sed -n "/^%$1\$/,/^\$/{/^%/d;p}" "$top/packaging/rpm/ecs-agent.spec" >"$dir/scriptlet"
	[ -s "$dir/scriptlet" ]
}
scriptlet post && run "$dir/scriptlet" 1 && noted 'systemctl --no-reload enable ecs.service' && ! grep -q start "$dir/notes"
result $? "rpm: a new installation is enabled and not started" "$dir/notes"
scriptlet preun && run "$dir/scriptlet" 1 && [ ! -s "$dir/notes" ] && scriptlet postun && run "$dir/scriptlet" 1 &&
	noted 'systemctl try-restart ecs.service' && ! grep -q stop "$dir/notes"
result $? "rpm: an upgrade restarts an agent that runs and stops nothing" "$dir/notes"
scriptlet preun && run "$dir/scriptlet" 0 &&
	[ "$(grep ' stop ' "$dir/notes" | tr '\n' ' ')" = "systemctl stop ecs-drain.service systemctl stop ecs.service systemctl stop ecs-tasks.service " ] &&
	noted 'systemctl --no-reload disable ecs.service ecs-boot.service'
result $? "rpm: a removal stops tasks, agent, and what is left" "$dir/notes"
echo "1..$n"
exit $failed
