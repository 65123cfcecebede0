#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fake-runc - a container runtime that fails as it is told. Beside it lie files named for runc's commands ("run",
# "delete", "exec", …) that hold what such a call does; without one the real runtime is called, as also by "real".
here=${0%/*}
command='' log='' pid_file='' bundle='' last=''
for word; do
	case $last in
	--log) log=$word ;;
	--pid-file) pid_file=$word ;;
	--bundle) bundle=$word ;;
	esac
	case $word in
	run | delete | exec | kill | state) command=${command:-$word} ;;
	esac
	last=$word
done
mode=real
[ ! -e "$here/$command" ] || read -r mode <"$here/$command"
: >"$here/called-$command"
case $mode in
real) ;;
slow) sleep 1 ;;
fail)
	[ -z "$log" ] || printf '{"level":"error","msg":"it is Tuesday","time":"now"}\n' >"$log"
	exit 1
	;;
silent) exit 3 ;;
stderr)
	printf 'one line\nand \033[31mthe last one\n' >&2
	exit 1
	;;
garbage)
	head -c 20000 /dev/urandom >"$log"
	head -c 20000 /dev/urandom >&2
	head -c 100 /dev/urandom >"$pid_file"
	exit 1
	;;
signal) kill -SEGV $$ ;;
hang)
	sleep 300 &
	sleep 300
	;;
nothing) exit 0 ;;     # says that the container runs, and there is none
stranger)              # the same, and names somebody else's process
	cat "$here/stranger" >"$pid_file"
	exit 0
	;;
loose) # takes the container's limit of processes less seriously
	sed -i 's/"limit": *77\b/"limit":78/' "$bundle/config.json"
	;;
half)                  # the container runs, but it says otherwise
	"$(cat "$here/real")" "$@"
	printf '{"level":"error","msg":"half-way","time":"now"}\n' >"$log"
	exit 1
	;;
esac
exec "$(cat "$here/real")" "$@"
