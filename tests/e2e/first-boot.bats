#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A host comes up before its settings are written, before its cluster is made, before anything answers, and
# with a clock that is wrong: the agent counts as started, says in one line what it waits for, and goes on
# by itself, as the same process.

load helper

setup_file() {
	ip link set lo up
	LAB_DIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ecs-e2e.XXXXXX")
	export LAB_DIR CGROUP=/ecs-e2e-${LAB_DIR##*.}
	printf '%s\n' 'AKIDBOOT secret' 'ASIABOOT secret t' >"$LAB_DIR/keys"
	export AWS_ACCESS_KEY_ID=AKIDBOOT AWS_SECRET_ACCESS_KEY=secret
	lab_start_controlplane 127.0.0.1:8080 --credentials "$LAB_DIR/keys"
	lab_aws create-cluster --cluster-name lab >/dev/null
	socat -u "UNIX-RECV:$LAB_DIR/notify" - >"$LAB_DIR/notify.log" 3>&- &
	echo $! >"$LAB_DIR/registry.pid" # one of the names lab_down ends
	lab_wait 60 "the supervisor" test -S "$LAB_DIR/notify"
}
teardown_file() { lab_down; }
teardown() {
	lab_stop agent
	lab_stop agent2
	rm -rf "$LAB_DIR/agent"
	lab_report
}

told() { grep -q "$1" "$LAB_DIR/notify.log"; }

# boot [KEY=VALUE ...]: no region, no cluster, no keys, no metadata service unless they are given.
boot() {
	mkdir -p "$LAB_DIR/agent"
	[ -e "$LAB_DIR/agent/ecs.config" ] || : >"$LAB_DIR/agent/ecs.config"
	: >"$LAB_DIR/notify.log"
	: >"$LAB_DIR/agent.log"
	lab_daemon agent env -i "PATH=$PATH" "NOTIFY_SOCKET=$LAB_DIR/notify" \
		"ECS_DATADIR=$LAB_DIR/agent/data" "ECS_RUN_DIR=$LAB_DIR/agent/run" "ECS_LIBEXEC_DIR=$LAB_BUILD" \
		ECS_BACKEND_HOST=http://127.0.0.1:8080 ECS_BRIDGE_SUBNET=172.31.240.0/24 "ECS_CGROUP_PARENT=$CGROUP" \
		"$@" "$LAB_BUILD/ecs-agent" --config "$LAB_DIR/agent/ecs.config"
	lab_wait 60 "the agent to say that it is up" told READY=1
	pid=$(cat "$LAB_DIR/agent.pid")
}
# doctor_says CHECK LEVEL TEXT: what `ecsctl doctor --host` tells; of the agent, or of its program where none runs.
doctor_says() {
	PATH=$LAB_BUILD:$PATH lab_ecsctl agent doctor --host --json >"$LAB_DIR/doctor.json" || true
	jq -e --arg check "$1" --arg level "$2" --arg text "$3" \
		'.[] | select(.check == $check and .level == $level) | .found | contains($text)' "$LAB_DIR/doctor.json" ||
		{ cat "$LAB_DIR/doctor.json" && return 1; }
}
same_process() { [ "$(cat "$LAB_DIR/agent/run/agent.lock")" = "$pid" ]; }

@test "settings late, written by hand, then a cluster late" {
	boot AWS_EC2_METADATA_DISABLED=true AWS_ACCESS_KEY_ID=AKIDBOOT AWS_SECRET_ACCESS_KEY=secret
	lab_wait 60 "the agent to say what it waits for" told 'STATUS=Waiting for a region'

	# As people write it: another system's line ends, export, quotes, spaces, a value twice.
	printf '# settings\r\nexport AWS_DEFAULT_REGION="us-west-2"\r\nECS_CLUSTER=early\r\n  ECS_CLUSTER = '"'late'"'\r\nnonsense\r\n' \
		>"$LAB_DIR/agent/new"
	mv "$LAB_DIR/agent/new" "$LAB_DIR/agent/ecs.config"
	lab_wait 60 "the agent to ask for the cluster" told 'STATUS=Waiting to register with cluster late: .*ClusterNotFound'
	grep -q "ecs.config:5: no '=' in this line" "$LAB_DIR/agent.log"
	run lab_ecsctl agent status
	[ "$status" -eq 1 ] && [[ $output == *"Waiting to register with cluster late"* ]]
	doctor_says "ECS API" bad ClusterNotFound

	lab_aws create-cluster --cluster-name late >/dev/null
	lab_ecsctl agent status --wait 60
	lab_instance_connected late
	told 'STATUS=Connected to cluster late'
	doctor_says "ECS endpoint" ok http://127.0.0.1:8080
	doctor_says credentials ok settings
	doctor_says "ACS session" ok 127.0.0.1
	same_process
}

# A stand-in for what a cloud gives a host, and for a control plane that is not well: it answers as the file
# LAB_DIR/mood says, one word a line.
@test "a metadata service late, then its role" {
	echo no-role >"$LAB_DIR/mood"
	boot AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:8081 ECS_CLUSTER=lab
	lab_wait 60 "the agent to say what it waits for" told 'STATUS=Waiting for a region'
	lab_daemon agent2 /usr/bin/python3 "$BATS_TEST_DIRNAME/cloud-double.py" 8081 "$LAB_DIR/mood"
	lab_wait 120 "the agent to want credentials" told 'STATUS=Waiting to register with cluster lab: .*HTTP 4'
	echo role >"$LAB_DIR/mood"
	lab_ecsctl agent status --wait 180 # keys are looked for once a minute
	told 'STATUS=Connected to cluster lab'
	same_process
}

@test "no control plane, then one that answers nonsense, errors, and at last itself" {
	boot AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-west-2 ECS_CLUSTER=lab \
		AWS_ACCESS_KEY_ID=AKIDBOOT AWS_SECRET_ACCESS_KEY=secret ECS_BACKEND_HOST=http://127.0.0.1:8082
	lab_wait 60 "the agent to find nobody" told 'STATUS=Waiting to register with cluster lab: .*onnect'
	echo nonsense >"$LAB_DIR/mood"
	lab_daemon agent2 /usr/bin/python3 "$BATS_TEST_DIRNAME/cloud-double.py" 8082 "$LAB_DIR/mood"
	lab_wait 60 "the agent to see nonsense" told 'STATUS=Waiting to register with cluster lab: .*JSON\|STATUS=Waiting to register with cluster lab: .*answer 200'
	echo error >"$LAB_DIR/mood"
	lab_wait 60 "the agent to see errors" told 'STATUS=Waiting to register with cluster lab: .*HTTP 500'
	lab_stop agent2
	lab_daemon agent2 socat TCP-LISTEN:8082,fork,reuseaddr TCP:127.0.0.1:8080
	lab_ecsctl agent status --wait 180
	same_process
}

@test "a clock that is wrong, then right" {
	# The agent's wall clock alone: seconds to add, from a file.
	cat >"$LAB_DIR/clock.c" <<-C
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <stdio.h>
		#include <time.h>
		int clock_gettime(clockid_t id, struct timespec *ts)
		{
			int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
			int r = real(id, ts);
			long add = 0;
			FILE *f = id == CLOCK_REALTIME ? fopen("$LAB_DIR/add", "re") : NULL;
			if (f && fscanf(f, "%ld", &add) == 1)
				ts->tv_sec += add;
			if (f)
				fclose(f);
			return r;
		}
	C
	cc -shared -fPIC -o "$LAB_DIR/clock.so" "$LAB_DIR/clock.c"
	echo -86400 >"$LAB_DIR/add"
	boot AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-west-2 ECS_CLUSTER=lab \
		AWS_ACCESS_KEY_ID=AKIDBOOT AWS_SECRET_ACCESS_KEY=secret "LD_PRELOAD=$LAB_DIR/clock.so"
	lab_ecsctl agent status --wait 120
	grep -q "The clock of this host is 8[0-9]* s behind the service's, signing with that" "$LAB_DIR/agent.log"
	doctor_says clock warn "s behind the service's"
	doctor_says "ECS API" ok lab
	same_process

	# Somebody sets the clock: what was added to it is wrong now.
	echo 0 >"$LAB_DIR/add"
	lab_ecsctl agent drain
	lab_wait 60 "the agent to believe its clock" grep -q 'The clock of this host is right again' "$LAB_DIR/agent.log"
	lab_wait 60 "the instance to be draining" grep -q 'This instance is DRAINING' "$LAB_DIR/agent.log"
	lab_ecsctl agent drain --undo
}

@test "the doctor needs no agent: nobody there, no such name, keys that are refused" {
	export AWS_EC2_METADATA_DISABLED=true AWS_DEFAULT_REGION=us-west-2 ECS_CLUSTER=lab
	ECS_BACKEND_HOST=http://127.0.0.1:1 doctor_says "ECS endpoint" bad http://127.0.0.1:1
	ECS_BACKEND_HOST=http://$(printf 'x%.0s' {1..64}).invalid doctor_says "ECS endpoint" bad resolve
	ECS_BACKEND_HOST=http://127.0.0.1:8080 AWS_SECRET_ACCESS_KEY=wrong doctor_says credentials bad "settings: refused"
	ECS_BACKEND_HOST=http://127.0.0.1:8080 doctor_says "ECS API" ok "cluster lab"
	run env ECS_BACKEND_HOST=http://127.0.0.1:8080 "$LAB_BUILD/ecs-agent" --check-services
	[ "$status" -eq 0 ] && [[ $output == *"credentials: ok: settings"* ]]
	run env ECS_BACKEND_HOST=http://127.0.0.1:1 "$LAB_BUILD/ecs-agent" --check-services
	[ "$status" -eq 1 ] && [[ $output == *"ECS endpoint: bad: "*"; see "* ]]
}
