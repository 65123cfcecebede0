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
  asan     make distcheck, with clang, AddressSanitizer and UndefinedBehaviorSanitizer: what the tarball holds
           builds elsewhere, passes the same tests, is installed, removed and cleaned up
  e2e      the AWS CLI against ecs-controlplane against ecs-agent against containers
  vm       the package in virtual machines: user data, upgrade, reboot, power failure; cgroup v1, metadata late
  packages deb and rpm packages: examined, installed, removed; when named, also made twice and compared
           (vm and packages run beside e2e when that is wanted, too)
and, only when it is named:
  vm-more  a virtual machine for each example of user data

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
	check | asan | e2e | vm | vm-more | packages) stages+=("$1") ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
packages_once=
[ ${#stages[@]} -gt 0 ] || { stages=(check asan e2e vm packages) && packages_once=1; }

# Several tests at a time, as they wait more than they compute. The machine may be slow and is busy: what is bound to
# come is waited for with patience.
test_jobs=$((3 * $(nproc)))
export LAB_PATIENCE=${LAB_PATIENCE:-6}
export XZ_OPT=-1 DPKG_DEB_COMPRESSOR_LEVEL=1 # tarballs and packages that nobody keeps
passed=0 failed=0 skipped=0 trouble=()
is_wanted() { [[ " ${stages[*]} " == *" $1 "* ]]; } # stage
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

run_check() {
	step "gcc: configure and build" configure_and_build "$build/gcc" || return 0
	echo "gcc: make check"
	find "$build/gcc" -name '*.trs' -delete
	make -s -C "$build/gcc" -j"$test_jobs" check >"$build/gcc-check.log" 2>&1 || true
	if [ -z "$(find "$build/gcc" -name '*.trs' -print -quit)" ]; then
		tail -n 40 "$build/gcc-check.log"
		failed=$((failed + 1))
		return 0
	fi
	count_trs "$build/gcc" gcc
}

# Unoptimised: it compiles in a third of the time, and the tests wait more than they compute.
run_distcheck() {
	local flags="--enable-werror CC=clang --enable-asan --enable-ubsan CFLAGS='-O0 -g' CPPFLAGS=-U_FORTIFY_SOURCE"
	rm -rf "$build/asan"
	mkdir -p "$build/asan/results"
	step "asan: configure" bash -c "cd '$build/asan' && '$top/configure' -q" || return 0
	echo "asan: make distcheck"
	if make -s -C "$build/asan" -j"$test_jobs" distcheck DISTCHECK_CONFIGURE_FLAGS="$flags" \
		RESULTS="$build/asan/results" >"$build/asan.log" 2>&1; then
		passed=$((passed + 1))
		count_trs "$build/asan/results" asan
		return
	fi
	failed=$((failed + 1))
	count_trs "$build/asan" asan # where it was left
	tail -n 40 "$build/asan.log"
}

# A network and mount namespace of their own: what a test leaves there goes with it. One that hangs fails.
run_bats() { # build-dir file
	local out
	out=$1/e2e/$(basename "$2" .bats).tap
	ECS_BUILD_DIR=$1/gcc timeout --kill-after=30 $((1500 * ${LAB_SLOW:-1})) \
		unshare --net --mount bats --formatter tap --timing "$2" >"$out" 2>&1 || echo "# ended with $?" >>"$out"
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
		xargs -P $((2 * $(nproc))) -I{} bash -c 'run_bats "$@"' - "$build" {}
	for out in "$build"/e2e/*.tap; do
		good=$(grep -cE '^ok ' "$out" || true) bad=$(grep -cE '^not ok ' "$out" || true)
		skips=$(grep -cE '^ok .*# skip' "$out" || true)
		planned=$(sed -n 's/^1\.\.\([1-9][0-9]*\)$/\1/p' "$out")
		[ "$planned" = $((good + bad)) ] || bad=$((bad + 1)) # it broke off
		passed=$((passed + good - skips)) skipped=$((skipped + skips)) failed=$((failed + bad))
		[ "$bad" -eq 0 ] || trouble+=("$out")
	done
}

# Begins one test that prints TAP: start_tap LABEL COMMAND...
declare -A tap_pids=()
start_tap() {
	local label=$1
	shift
	echo "$label: $*"
	"$@" >"$build/$label.tap" 2>&1 &
	tap_pids[$label]=$!
}

# The same to its end, and counts; what was begun already is waited for.
run_tap() {
	local label=$1 out=$build/$1.tap good bad skips planned
	[ -n "${tap_pids[$label]:-}" ] || start_tap "$@"
	wait "${tap_pids[$label]}" || true
	grep -E '^not ok |# SKIP' "$out" || true
	good=$(grep -cE '^ok ' "$out" || true) bad=$(grep -cE '^not ok ' "$out" || true)
	skips=$(grep -cE '^1\.\.0 # SKIP' "$out" || true)
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*$/\1/p' "$out")
	[ "$planned" = $((good + bad)) ] || bad=$((bad + 1)) # it broke off
	passed=$((passed + good)) skipped=$((skipped + skips)) failed=$((failed + bad))
	[ "$bad" -eq 0 ] || trouble+=("$out")
}

run_packages() { # run_tap or start_tap
	[ -e "$build/gcc/Makefile" ] || step "packages: configure and build" configure_and_build "$build/gcc" || return 0
	"$1" packages nice -n 5 tests/packaging/packages.sh ${packages_once:+--once} "$build/gcc"
}

# Packages and images for the machines are made beforehand, beside the stages that wait more than they compute.
vm_preparing=
start_vm() {
	[[ " ${stages[*]} " == *" vm"* && -x $build/gcc/ecs-controlplane && -z $vm_preparing ]] || return 0
	nice -n 10 tests/vm/run.sh --prepare "$build/gcc" >"$build/vm-prepare.log" 2>&1 &
	vm_preparing=$!
}

wait_for_vm() { [ -z "$vm_preparing" ] || wait "$vm_preparing" || true; } # what failed fails again, and is told

run_vm() { # run_tap or start_tap, label file...
	local how=$1 label=$2
	shift 2
	[ -x "$build/gcc/ecs-agent" ] || step "$label: configure and build" configure_and_build "$build/gcc" || return 0
	"$how" "$label" tests/vm/run.sh "$build/gcc" "${@/#/tests/vm/}"
}

# Each failure with the lines that follow it, then how the log ends: what crashes may not get to name its failure.
show_failures() { # log
	awk '/^(not ok|Bail out!) / { left = 24 } /^ok / { left = 0 } left-- > 0' "$1"
	echo '...'
	grep -vE '^(ok|#? ?PASS)' "$1" | tail -n 20
}

mkdir -p "$build"
if [ -n "$install" ]; then
	say "Installing what is needed"
	packaging/install-deps.sh --build --run --test --package
fi
say "Generating the build system"
step "autogen" ./autogen.sh || true
for stage in "${stages[@]}"; do
	say "Stage $stage"
	case $stage in
	packages | vm | vm-more) wait_for_vm ;;
	*) start_vm ;;
	esac
	case $stage in
	check) run_check ;;
	asan) run_distcheck ;;
	e2e) # waits more than it computes: machines, which take the longest, and packages are begun beside it
		! is_wanted vm || { wait_for_vm && run_vm start_tap vm v2.bats v1.bats; }
		! is_wanted packages || run_packages start_tap
		run_e2e
		;;
	vm) run_vm run_tap vm v2.bats v1.bats ;;
	vm-more) run_vm run_tap vm-more user-data.bats ;;
	packages) run_packages run_tap ;;
	esac
done

if [ ${#trouble[@]} -gt 0 ]; then
	say "What failed"
	for log in "${trouble[@]}"; do
		printf -- '--- %s\n' "${log#"$top"/}"
		show_failures "$log"
	done
fi
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
