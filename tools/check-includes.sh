#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compares every #include "folder/…" with the arrows of docs/architecture.md: who may see whom.
# Prints TAP.
set -eu
cd "${abs_top_srcdir:-$(dirname "$0")/..}"

# folder: what it may include beside itself
allowed() {
	case $1 in
	common) echo "common" ;;
	aws | metrics | controlplane | cli) echo "$1 common" ;;
	runtime/logs) echo "runtime aws common" ;;
	runtime) echo "runtime common" ;;
	agent) echo "agent runtime metrics aws common" ;;
	esac
}

bad=$(find common aws metrics runtime agent controlplane cli -name '*.[ch]' | sort | while read -r file; do
	folder=${file%%/*}
	case $file in runtime/logs/*) may=$(allowed runtime/logs) ;; *) may=$(allowed "$folder") ;; esac
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" |
		while read -r header; do
			case $header in
			*/*) ;;
			*) echo "$file: \"$header\" is not written from the root" && continue ;;
			esac
			case " $may " in
			*" ${header%%/*} "*) ;;
			*) echo "$file: may not include \"$header\"" ;;
			esac
		done
done)

echo 1..1
if [ -n "$bad" ]; then
	echo "$bad" | sed 's/^/# /'
	echo "not ok 1 - includes follow the arrows"
	exit 1
fi
echo "ok 1 - includes follow the arrows"
