#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every setting in ecs.config(5), with its default and bounds, and every name there a setting; every
# flag of the agent in ecs-agent(8), every command and option of ecsctl in ecsctl(1) and in its bash
# completion; pages that mandoc finds no fault with; programs that answer --help and refuse what they do not know.
# Prints TAP.
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

echo 1..10
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

"$build/ecsctl" --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' >"$tmp/commands"
# options COMMAND: as its own help has them, the long ones
options() {
	"$build/ecsctl" "$1" --help </dev/null | sed -n '/^  -/p' | grep -oE '^  (-[a-zA-Z], )?--[a-z-]+' |
		grep -oE -e '--[a-z-]+' || :
}
sed 's/\\//g; s/f[BRI]//g' "$top/docs/man/ecsctl.1" >"$tmp/ecsctl.1"
while read -r command; do
	for option in $(options "$command"); do
		grep -qF -- "$option" "$tmp/ecsctl.1" || echo "$command $option"
	done
done <"$tmp/commands" >"$tmp/6"
result 6 "every option of ecsctl is documented" "$tmp/6"

sort "$tmp/commands" >"$tmp/sorted"
# complete WORD...: what bash would offer for the last one
complete_words() {
	bash -c '. "$0"; ecsctl() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ecsctl; printf "%s\n" "${COMPREPLY[@]}"' \
		"$top/packaging/completion/ecsctl" "$@"
}
{
	complete_words ecsctl '' | grep -v '^-' | sort | comm -3 - "$tmp/sorted"
	while read -r command; do
		[ "$command" = image ] && continue # its words are those of ecs-image
		{ options "$command"; printf '%s\n' --json --socket --help; } | sort -u >"$tmp/options"
		complete_words ecsctl "$command" -- | sort -u | comm -3 - "$tmp/options" | sed "s/^/$command /"
	done <"$tmp/commands"
	# Words of image are those of ecs-image: all its commands, and no option that it has not.
	"$build/ecs-image" --help >"$tmp/image"
	sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' "$tmp/image" | sort >"$tmp/image-commands"
	complete_words ecsctl image '' | grep -v '^-' | sort | comm -3 - "$tmp/image-commands" | sed 's/^/image /'
	for option in $(complete_words ecsctl image --); do
		[ "$option" = --socket ] || grep -qE -- "(^|[ ,])$option( |\$|,)" "$tmp/image" || echo "image $option"
	done
} >"$tmp/7"
result 7 "the completion offers the commands and options there are, and no others" "$tmp/7"

if command -v mandoc >/dev/null 2>&1; then
	for page in "$top"/docs/man/*.[1-8]; do
		mandoc -T lint -W warning "$page" || :
	done >"$tmp/8" 2>&1
	result 8 "mandoc finds no fault with the pages" "$tmp/8"
else
	echo "ok 8 - mandoc finds no fault with the pages # SKIP mandoc is not installed"
fi

for program in ecs-agent ecs-controlplane ecs-image ecsctl; do
	for flag in --help --version; do
		"$build/$program" $flag >"$tmp/out" 2>&1 </dev/null || echo "$program $flag: exit code $?"
		[ -s "$tmp/out" ] || echo "$program $flag says nothing"
	done
done >"$tmp/9"
result 9 "every program has --help and --version" "$tmp/9"

for program in ecs-agent ecs-controlplane ecs-image ecsctl; do
	code=0
	"$build/$program" --no-such-option >"$tmp/out" 2>"$tmp/err" </dev/null || code=$?
	# The agent's 5 is the reference's: no service manager shall start it again.
	[ $code -eq "$([ $program = ecs-agent ] && echo 5 || echo 2)" ] || echo "$program: exit code $code"
	grep -q -- no-such-option "$tmp/err" || echo "$program does not name the option"
	grep -qi -e usage -e --help "$tmp/err" || echo "$program gives no hint"
	[ ! -s "$tmp/out" ] || echo "$program complains on standard output"
done >"$tmp/10"
result 10 "an unknown option is named, with a hint" "$tmp/10"
exit $failed
