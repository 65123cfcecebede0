#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The examples of user data: cloud-init takes each, shellcheck the shell in it, and the agent every setting.
# Prints TAP.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${abs_top_builddir:-$top}
command -v cloud-init >/dev/null || { echo "1..0 # SKIP cloud-init is not here" && exit 77; }
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

# The settings of an example: a file that it writes, or lines that it appends.
settings_of() {
	case $1 in
	*.sh) sed -n 's/^echo \([A-Z_]*=.*\) >>.*/\1/p' "$1" ;;
	*) /usr/bin/python3 -c '
import sys, yaml
for f in yaml.safe_load(open(sys.argv[1]))["write_files"]:
    if f["path"] == "/etc/ecs/ecs.config":
        print(f["content"], end="")' "$1" ;;
	esac
}

# The shell of an example: itself, or what runcmd has, a list of words or a line a time.
shell_of() {
	case $1 in
	*.sh) cat "$1" ;;
	*) /usr/bin/python3 -c '
import shlex, sys, yaml
print("#!/bin/sh")
for c in yaml.safe_load(open(sys.argv[1])).get("runcmd", []):
    print(c if isinstance(c, str) else shlex.join(map(str, c)))' "$1" ;;
	esac
}
# The units that an example changes, by the parts it writes.
parts_of() {
	case $1 in
	*.yaml) /usr/bin/python3 -c '
import sys, yaml
for f in yaml.safe_load(open(sys.argv[1]))["write_files"]:
    if f["path"].startswith("/etc/systemd/system/ecs-drain.service.d/"):
        print(f["content"], end="")' "$1" ;;
	esac
}

for example in "$top"/packaging/cloud-init/*; do
	name=$(basename "$example")
	case $name in
	*.sh) sh -n "$example" >"$dir/schema" 2>&1 ;;
	*) cloud-init schema --config-file "$example" >"$dir/schema" 2>&1 ;;
	esac
	result $? "$name is user data" "$dir/schema"
	settings_of "$example" >"$dir/ecs.config"
	env -i AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-west-2 "$build/ecs-agent" --config "$dir/ecs.config" \
		--print-config >"$dir/printed" 2>&1
	grep -q '^ECS_CLUSTER=my-cluster$' "$dir/printed" && ! grep -q '^level=' "$dir/printed"
	result $? "$name has settings that the agent takes without a word" "$dir/printed"
	shell_of "$example" >"$dir/script.sh"
	if command -v shellcheck >/dev/null; then
		shellcheck "$dir/script.sh" >"$dir/shellcheck"
		result $? "$name has shell that shellcheck takes" "$dir/shellcheck"
	fi
	parts_of "$example" >"$dir/part"
	! grep '^ExecStop=.' "$dir/part" | grep -vE '^ExecStop=-/usr/bin/ecsctl drain --stop-tasks --timeout [0-9]+$' &&
		{ [ ! -s "$dir/part" ] || grep -q '^TimeoutStopSec=' "$dir/part"; }
	result $? "$name changes the drain within bounds" "$dir/part"
done
echo nonsense: 1 | sed '1i #cloud-config' >"$dir/bad.yaml"
echo 'write_files: [{pat: /x}]' >>"$dir/bad.yaml"
! cloud-init schema --config-file "$dir/bad.yaml" >/dev/null 2>&1
result $? "what is no user data is refused"
echo "1..$n"
exit $failed
