#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The units as they are installed: systemd understands every line, they form no circle with cloud-init's,
# and what keeps containers alive stands in them. Prints TAP.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${abs_top_builddir:-$top}
command -v systemd-analyze >/dev/null || { echo "1..0 # SKIP systemd-analyze is not here" && exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0 failed=0
result() { # status description [file]
	n=$((n + 1))
	[ "$1" -eq 0 ] && echo "ok $n - $2" && return
	failed=1
	echo "not ok $n - $2"
	[ -z "${3:-}" ] || sed 's/^/# /' "$3"
}

# The programs as they were built, so that verify finds them.
mkdir "$dir/units"
for unit in ecs.service ecs-drain.service ecs-controlplane.service ecs-boot.service; do
	from=$build/packaging/systemd/$unit
	[ -e "$from" ] || from=$top/packaging/systemd/$unit
	sed -E "s,^(Exec[A-Za-z]*=-?)[^ ]*/(ecs-agent|ecsctl|ecs-controlplane),\1$build/\2,
		s,^(ExecStart=)/bin/systemctl,\1/bin/true," "$from" >"$dir/units/$unit"
done
grep -v '^u ' "$top/packaging/systemd/ecs-controlplane.sysusers" >"$dir/odd"
[ ! -s "$dir/odd" ]
result $? "the system user is one line of sysusers.d" "$dir/odd"

# As cloud-init has them on Debian and Ubuntu: after multi-user.target, before nothing of ours.
cat >"$dir/units/cloud-final.service" <<'UNIT'
[Unit]
Description=Execute cloud user/final scripts
After=network-online.target multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/true
[Install]
WantedBy=cloud-init.target
UNIT
printf '[Unit]\nDescription=Cloud-init target\nAfter=multi-user.target\nWants=cloud-final.service\n' >"$dir/units/cloud-init.target"
mkdir "$dir/units/multi-user.target.wants"
ln -s ../ecs-boot.service "$dir/units/multi-user.target.wants/"

verify() {
	SYSTEMD_UNIT_PATH=$dir/units:/lib/systemd/system:/usr/lib/systemd/system \
		systemd-analyze verify --man=no "$@" >"$dir/verify" 2>&1
}
for unit in ecs.service ecs-drain.service ecs-boot.service ecs-controlplane.service; do
	verify "$dir/units/$unit" && ! grep -q "$unit\|$dir" "$dir/verify"
	result $? "$unit is understood, every line of it" "$dir/verify"
done
verify multi-user.target cloud-init.target
! grep -q 'cycle' "$dir/verify"
result $? "booting forms no circle with cloud-final.service" "$dir/verify"

has() { grep -qx "$2" "$dir/units/$1"; }
has ecs.service KillMode=process && has ecs.service RuntimeDirectoryPreserve=yes && has ecs.service Type=notify &&
	has ecs.service RestartPreventExitStatus=5
result $? "stopping the agent leaves containers"
! grep -E '^(After|Requires|Wants|BindsTo)=.*cloud' "$dir/units/ecs.service"
result $? "the agent does not wait for cloud-init when user data starts it"
# What makes a mount namespace, or is inherited by containers as a bound they cannot pass.
! grep -nE '^(Protect|Private|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind|Root|NoNew|Restrict|SystemCall|Capab|Memory|Lock)[A-Za-z]*=' \
	"$dir/units/ecs.service" | grep -v RestartPrevent >"$dir/odd"
result $? "the agent's unit has nothing that containers would inherit or that hides mounts" "$dir/odd"

# Exposure, of 10: the rows "| `UNIT` | EXPOSURE |" of the document are what systemd computes of the units.
for unit in ecs.service ecs-drain.service ecs-boot.service ecs-controlplane.service; do
	systemd-analyze security --offline=true --no-pager "$dir/units/$unit" >"$dir/security" 2>&1
	is=$(sed -n 's/.* exposure level for .*: \([0-9.]*\) .*/\1/p' "$dir/security")
	said=$(sed -n "s/^| \`$unit\` | \([0-9.]*\) |.*/\1/p" "$top/docs/operating.md")
	echo "docs/operating.md says '$said', systemd-analyze security says '$is'" >"$dir/odd"
	[ -n "$is" ] && [ "$is" = "$said" ]
	result $? "the exposure of $unit is the documented one" "$dir/odd"
done
systemd-analyze security --offline=true --json=short "$dir/units/ecs.service" >"$dir/security" 2>/dev/null
/usr/bin/python3 - "$dir/security" "$dir/units/ecs.service" >"$dir/odd" <<'PYTHON' || echo failed >>"$dir/odd"
import json, re, sys
unit = open(sys.argv[2]).read()
for row in json.load(open(sys.argv[1])):
    for name in re.findall(r"([A-Za-z]+)=", row["name"]) if row["set"] is False else []:
        if not re.search(rf"\b{name}\b", unit):
            print(name, row["description"])
PYTHON
[ ! -s "$dir/odd" ]
result $? "the agent's unit names each restriction that it does without" "$dir/odd"
echo "1..$n"
exit $failed
