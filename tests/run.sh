#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs all of them: unit, fuzz corpora, integration, end to end.
# The last line is "N passed, N failed, N skipped"; the exit status is 0 when none failed.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD

usage() {
	cat <<'TEXT'
usage: sudo tests/run.sh [--no-install] [--build DIR] [STAGE ...]

Stages, all of them by default, in this order:
  check    gcc build with -Werror; unit tests, fuzz corpora, checks, integration tests
  asan     clang build with AddressSanitizer and UndefinedBehaviorSanitizer; the same tests
  dist     make distcheck: the tarball configures, builds, installs and cleans up
  e2e      the AWS CLI against ecs-controlplane against ecs-agent against containers

  --no-install  do not call packaging/install-deps.sh first
  --build DIR   where to build (default: build/ in the source tree)
TEXT
}

install=1 build=$top/build stages=()
while [ $# -gt 0 ]; do
	case $1 in
	--no-install) install= ;;
	--build) build=$(mkdir -p "$2" && cd "$2" && pwd) && shift ;;
	-h | --help) usage && exit 0 ;;
	check | asan | dist | e2e) stages+=("$1") ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
[ ${#stages[@]} -gt 0 ] || stages=(check asan dist e2e)

passed=0 failed=0 skipped=0 trouble=()
say() { printf '\n== %s (%s)\n' "$*" "$(date -u +%H:%M:%S)"; }

# Adds up the single results that automake's TAP driver recorded, and names what is not a pass.
count_trs() { # build-dir label
	local trs results
	while IFS= read -r trs; do
		results=$(sed -n 's/^:test-result: //p' "$trs")
		passed=$((passed + $(grep -c '^PASS' <<<"$results" || true)))
		skipped=$((skipped + $(grep -c '^SKIP' <<<"$results" || true)))
		failed=$((failed + $(grep -cE '^(FAIL|ERROR|XPASS)' <<<"$results" || true)))
		grep -E '^(FAIL|ERROR|XPASS|SKIP)' <<<"$results" |
			sed "s|^|  $2: $(basename "$trs" .trs): |" || true
		if grep -qE '^(FAIL|ERROR|XPASS)' <<<"$results"; then
			trouble+=("${trs%.trs}.log")
		fi
	done < <(find "$1" -name '*.trs' | sort)
}

step() { # description command...
	local description=$1 log
	shift
	log=$build/$(tr -c 'a-z0-9\n' - <<<"$description").log
	printf '%s\n' "$description"
	if ! "$@" >"$log" 2>&1; then
		tail -n 60 "$log"
		echo "FAILED: $description"
		failed=$((failed + 1))
		return 1
	fi
}

configure_and_build() { # dir configure-arguments...
	local dir=$1
	shift
	mkdir -p "$dir"
	(cd "$dir" && "$top/configure" --enable-werror -q "$@" && make -s -j"$(nproc)" && make -s -j"$(nproc)" check TESTS=)
}

run_check() { # label dir configure-arguments...
	local label=$1 dir=$2
	shift 2
	step "$label: configure and build" configure_and_build "$dir" "$@" || return 0
	echo "$label: make check"
	find "$dir" -name '*.trs' -delete
	(cd "$dir" && make -s -j"$((2 * $(nproc)))" check >"$build/$label-check.log" 2>&1) || true
	if [ -z "$(find "$dir" -name '*.trs' -print -quit)" ]; then
		tail -n 40 "$build/$label-check.log"
		failed=$((failed + 1))
		return 0
	fi
	count_trs "$dir" "$label"
}

# A network and mount namespace of their own: what a test leaves there goes with it.
run_bats() { # build-dir file
	local out
	out=$1/e2e/$(basename "$2" .bats).tap
	ECS_BUILD_DIR=$1/gcc unshare --net --mount bats --formatter tap "$2" >"$out" 2>&1 || true
	grep -E '^(not )?ok ' "$out" | sed "s|^\(not ok\|ok\) [0-9]*|\1 $(basename "$2")|" || true
}
export -f run_bats

# Each file has a laboratory of its own, so several run at a time; they wait more than they compute.
run_e2e() {
	local out good bad skips planned
	[ -x "$build/gcc/ecs-agent" ] || step "e2e: configure and build" configure_and_build "$build/gcc" || return 0
	echo "e2e: bats tests/e2e"
	rm -rf "$build/e2e" && mkdir "$build/e2e"
	# The long ones first.
	find "$top/tests/e2e" -name '*.bats' -printf '%s %p\n' | sort -rn | cut -d' ' -f2 |
		xargs -P $(($(nproc) + 1)) -I{} bash -c 'run_bats "$@"' - "$build" {}
	for out in "$build"/e2e/*.tap; do
		good=$(grep -cE '^ok ' "$out" || true) bad=$(grep -cE '^not ok ' "$out" || true)
		skips=$(grep -cE '^ok .*# skip' "$out" || true)
		planned=$(sed -n 's/^1\.\.\([1-9][0-9]*\)$/\1/p' "$out")
		[ "$planned" = $((good + bad)) ] || bad=$((bad + 1)) # it broke off
		passed=$((passed + good - skips)) skipped=$((skipped + skips)) failed=$((failed + bad))
		[ "$bad" -eq 0 ] || trouble+=("$out")
	done
}

mkdir -p "$build"
if [ -n "$install" ]; then
	say "Installing what is needed"
	packaging/install-deps.sh
fi
say "Generating the build system"
step "autogen" ./autogen.sh || true
for stage in "${stages[@]}"; do
	say "Stage $stage"
	case $stage in
	check) run_check gcc "$build/gcc" ;;
	asan) run_check clang-asan "$build/asan" CC=clang --enable-asan --enable-ubsan ;;
	dist) # the tests themselves ran above, so only their programs are built here
		mkdir -p "$build/dist"
		step "dist: make distcheck" bash -c "cd '$build/dist' && '$top/configure' -q &&
			make -s -j$(nproc) distcheck AM_MAKEFLAGS='TESTS= -j$(nproc)'" && passed=$((passed + 1))
		;;
	e2e) run_e2e ;;
	esac
done

if [ ${#trouble[@]} -gt 0 ]; then
	say "What failed"
	for log in "${trouble[@]}"; do
		printf -- '--- %s\n' "${log#"$top"/}"
		grep -vE '^(ok|#? ?PASS)' "$log" | tail -n 60
	done
fi
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
