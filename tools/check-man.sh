#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every setting in ecs.config(5), with its default and bounds, and every name there a setting; every
# flag of the agent in ecs-agent(8) and every command of ecsctl in ecsctl(1). Prints TAP.
set -eu
top=${abs_top_srcdir:-$(dirname "$0")/..}
build=${abs_top_builddir:-.}
page=$top/docs/man/ecs.config.5
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

result() { # number description file-with-complaints
	if [ -s "$3" ]; then
		sed 's/^/# /' "$3"
		echo "not ok $1 - $2"
		failed=1
	else
		echo "ok $1 - $2"
	fi
}

echo 1..5
"$build/ecs-agent" --print-config-keys >"$tmp/keys"
cut -f1 "$tmp/keys" | sort >"$tmp/table"
sed -n 's/^\.B \([A-Z][A-Z0-9_]*\)$/\1/p' "$page" | sort >"$tmp/page"
comm -23 "$tmp/table" "$tmp/page" >"$tmp/1"
result 1 "every setting is documented" "$tmp/1"
comm -13 "$tmp/table" "$tmp/page" >"$tmp/2"
result 2 "every documented setting exists" "$tmp/2"

# The paragraph of a key has its default as the table does. (That of ECS_LIBEXEC_DIR depends on the prefix.)
awk -F '\t' '
	NR == FNR { if ($2 != "-" && $1 != "ECS_LIBEXEC_DIR") want[$1] = $3 == "-" ? "No default." : "Default: " $3 "."; next }
	/^\.B [A-Z]/ { key = substr($0, 4) }
	/^(Default: |No default)/ {
		text = $0
		gsub(/\\-/, "-", text)
		if (key in want && text != want[key]) print key ": the page says \"" text "\", the table \"" want[key] "\""
		delete want[key]
	}
	/^At least|^Bounds:/ { bounded[key] = 1 }
	END { for (key in want) print key ": no default is told" }
' "$tmp/keys" "$page" >"$tmp/3"
result 3 "defaults are documented as they are" "$tmp/3"

"$build/ecs-agent" --help | sed -n 's/^  \(--*[a-z0-9-]*\).*/\1/p' | sed 's/^-*//' | while read -r flag; do
	sed 's/\\//g' "$top/docs/man/ecs-agent.8" | grep -q -- "-$flag" || echo "-$flag"
done >"$tmp/4"
result 4 "every flag of ecs-agent is documented" "$tmp/4"

"$build/ecsctl" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | while read -r command; do
	grep -qE "^(\\\\fB|\\.BR? )$command" "$top/docs/man/ecsctl.1" || echo "$command"
done >"$tmp/5"
result 5 "every command of ecsctl is documented" "$tmp/5"
exit $failed
