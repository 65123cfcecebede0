#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures cold image pulls from a registry on loopback against podman and skopeo + umoci, in turn, in one
# run on one machine, with the floors of the machine beside them. Prints a Markdown table and never fails
# on a figure.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
	cat <<'TEXT'
usage: sudo tests/bench/pull.sh [--build DIR] [--lab DIR] [--rounds N] [--only a|b|c|storm] [--tools LIST]

  --build DIR   programs to measure (default: build/bench, configured with -O2 and built when absent)
  --lab DIR     where images are made, kept for the next run, and pulled to (default: /var/tmp/ecs-bench-pull)
  --rounds N    rounds over all tools (default 3)
  --only KEY    a: one layer, 206 MB; b: 14 layers, 715 MB; c: 60 layers, 132 MB; storm: 40 pulls of 8
                images at once, and what the start of a container takes meanwhile (default: all)
  --tools LIST  some of ecs-image,podman,skopeo+umoci,gzip|tar,inflate,write (what is not installed is skipped)
TEXT
}

build=$top/build/bench lab=/var/tmp/ecs-bench-pull rest=() args=("$@")
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2 && shift ;;
	--lab) lab=$2 && shift ;;
	--rounds | --only | --tools) rest+=("$1" "$2") && shift ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
if [ -z "${ECS_BENCH_INSIDE:-}" ]; then
	ECS_BENCH_INSIDE=1 exec unshare --net --mount "$0" "${args[@]}"
fi
if [ ! -x "$build/ecs-image" ]; then
	echo "building in $build" >&2
	[ -x "$top/configure" ] || "$top/autogen.sh" >/dev/null 2>&1
	mkdir -p "$build"
	(cd "$build" && "$top/configure" -q && make -s -j"$(nproc)") >&2
fi
ip link set lo up
mkdir -p "$lab"
python3 "$top/tests/bench/pull.py" --build "$build" --lab "$lab" "${rest[@]}"
