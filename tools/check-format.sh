#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-format over the lines changed since a commit: check-format.sh [--fix] [BASE].
# BASE is the commit to compare with; by default the last one, so that uncommitted lines and those of
# the newest commit count. Exits 77 where clang-format or the history is missing. Prints TAP.
set -eu
fix=
[ "${1:-}" != --fix ] || { fix=1 && shift; }
cd "${abs_top_srcdir:-$(dirname "$0")/..}"
skip() { echo "1..0 # SKIP $1" && exit 77; }
command -v clang-format >/dev/null 2>&1 || skip "clang-format is not installed"
git rev-parse -q --verify HEAD >/dev/null 2>&1 || skip "not a git work tree"
base=${1:-$(git rev-parse -q --verify HEAD^ || git hash-object -t tree /dev/null)}

# file and changed line ranges of the work tree against the base
changed() {
	git diff -U0 --no-color --diff-filter=AM "$base" -- '*.c' '*.h' | awk '
		/^\+\+\+ b\// { file = substr($0, 7) }
		/^@@/ {
			split(substr($3, 2), r, ",")
			n = r[2] == "" ? 1 : r[2]
			if (n > 0) lines[file] = lines[file] " --lines=" r[1] ":" r[1] + n - 1
		}
		END { for (f in lines) print f lines[f] }' | sort
}

bad=$(changed | while read -r file ranges; do
	[ -f "$file" ] || continue
	if [ -n "$fix" ]; then
		# shellcheck disable=SC2086
		clang-format -i $ranges "$file"
	else
		# shellcheck disable=SC2086
		clang-format $ranges "$file" | cmp -s - "$file" || echo "$file"
	fi
done)
[ -z "$fix" ] || exit 0
echo 1..1
if [ -n "$bad" ]; then
	echo "$bad" | sed 's/^/# changed lines are not formatted: /'
	echo "not ok 1 - changed lines are formatted ('make format' does it)"
	exit 1
fi
echo "ok 1 - changed lines are formatted"
