# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# lab.sh - functions that build a small ECS on this machine: a registry with an image in it,
# ecs-controlplane, and ecs-agent. Sourced by quickstart.sh and the end-to-end tests.
#
# The caller sets LAB_DIR (an empty directory for everything) and LAB_BUILD (where the programs were
# built). Each lab_start_* writes LAB_DIR/NAME.pid and LAB_DIR/NAME.log and returns once the server answers.

LAB_REGION=${LAB_REGION:-us-west-2}
export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-local} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-local}
export AWS_DEFAULT_REGION=$LAB_REGION AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true

lab_die() {
	printf '%s\n' "$*" >&2
	return 1
}

# The AWS CLI of the distribution, unmodified, pointed at the local control plane.
lab_aws() {
	local aws=${LAB_AWS:-/usr/bin/aws}
	[ -x "$aws" ] || aws=aws
	AWSCLI_SOCKET=$LAB_DIR/aws.sock "$aws" --endpoint-url "http://$(cat "$LAB_DIR/controlplane.addr")" --output json ecs "$@"
}

# One operation without the CLI, whose start takes most of a second of the processor: for what is asked again and
# again, and for members that it does not know yet. lab_api OPERATION JSON
lab_api() {
	curl -fsS --aws-sigv4 "aws:amz:$LAB_REGION:ecs" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "X-Amz-Target: AmazonEC2ContainerServiceV20141113.$1" -H 'Content-Type: application/x-amz-json-1.1' \
		-d "$2" "http://$(cat "$LAB_DIR/controlplane.addr")/"
}

lab_ecsctl() { # agent-name arguments...
	local name=$1
	shift
	"$LAB_BUILD/ecsctl" --socket "$LAB_DIR/$name/run/agent.sock" "$@"
}

# On a machine that is much slower than usual (an emulated one) LAB_SLOW=N makes every time N times as
# long: lab_slow NUMBER
lab_slow() { echo $(($1 * ${LAB_SLOW:-1})); }

# How long something may take that is bound to come: LAB_PATIENCE=N, for a machine that is busy with much else, makes
# such limits N times as long and lengthens nothing that goes well: lab_limit NUMBER
lab_limit() { echo $(($(lab_slow "$1") * ${LAB_PATIENCE:-1})); }

# Waits until a command succeeds: lab_wait SECONDS WHAT COMMAND...
lab_wait() {
	local seconds what=$2 deadline pause=1
	seconds=$(lab_limit "$1")
	shift 2
	deadline=$((SECONDS + seconds))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || lab_die "timed out after $seconds s: $what" || return 1
		sleep "0.$pause"
		pause=$((pause < 5 ? pause + 1 : 5)) # looking costs, too
	done
}

# A TCP port of the loopback that nobody listens on.
lab_free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Starts a server in a session of its own: lab_daemon NAME COMMAND...
lab_daemon() {
	local name=$1
	shift
	setsid "$@" >>"$LAB_DIR/$name.log" 2>&1 </dev/null 3>&- &
	echo $! >"$LAB_DIR/$name.pid"
}

lab_running() { # name
	[ -s "$LAB_DIR/$1.pid" ] && kill -0 "$(cat "$LAB_DIR/$1.pid")" 2>/dev/null
}

# Ends a server by its pid: lab_stop NAME [SIGNAL]
lab_stop() {
	local name=$1 pid
	lab_running "$name" || return 0
	pid=$(cat "$LAB_DIR/$name.pid")
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	for _ in $(seq "$(lab_limit 100)"); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	if kill -0 "$pid" 2>/dev/null; then
		echo "lab: $name (pid $pid) did not end within $(lab_limit 5) s, killing it" >&2
		kill -KILL "$pid" 2>/dev/null || true
	fi
	rm -f "$LAB_DIR/$name.pid"
}

lab_start_registry() { # address:port
	local addr=$1
	mkdir -p "$LAB_DIR/registry"
	cat >"$LAB_DIR/registry.yml" <<-YAML
		version: 0.1
		log: { level: warn }
		storage: { filesystem: { rootdirectory: $LAB_DIR/registry }, delete: { enabled: true } }
		http: { addr: "$addr" }
	YAML
	lab_daemon registry docker-registry serve "$LAB_DIR/registry.yml"
	lab_wait 20 "docker-registry on $addr (see $LAB_DIR/registry.log)" curl -fsS "http://$addr/v2/"
	echo "$addr" >"$LAB_DIR/registry.addr"
}

# Pushes a directory as an image: lab_push_image NAME:TAG ROOT [umoci-config-option ...]
lab_push_image() {
	local name=$1 root=$2 layout
	shift 2
	layout=$LAB_DIR/layout-${name//[:\/]/-}
	rm -rf "$layout"
	umoci init --layout "$layout" >/dev/null
	umoci new --image "$layout:x" >/dev/null
	umoci insert --image "$layout:x" "$root" / >/dev/null
	umoci config --image "$layout:x" --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"$@" >/dev/null
	skopeo copy --quiet --dest-tls-verify=false "oci:$layout:x" \
		"docker://$(cat "$LAB_DIR/registry.addr")/$name" >/dev/null
	rm -rf "$layout"
}

# A root of static busybox alone, with a page to serve: lab_busybox_root DIR
lab_busybox_root() {
	local root=$1
	mkdir -p "$root"/{bin,etc,tmp,root,www,proc,sys,dev,usr/bin,sbin,usr/sbin}
	chmod 1777 "$root/tmp"
	cp "$(command -v busybox)" "$root/bin/busybox"
	chroot "$root" /bin/busybox --install -s && rm "$root/linuxrc"
	printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/www:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nwww-data:x:33:\n' >"$root/etc/group"
	echo 'Hello from an ECS task.' >"$root/www/index.html"
}

lab_make_small_image() { # name:tag
	lab_busybox_root "$LAB_DIR/root-small"
	lab_push_image "$1" "$LAB_DIR/root-small" --config.cmd httpd --config.cmd -f --config.cmd -p --config.cmd 80 \
		--config.cmd -h --config.cmd /www --config.exposedports 80/tcp
	rm -rf "$LAB_DIR/root-small"
}

# nginx in a Debian root, from the machine's own package sources.
lab_make_nginx_image() { # name:tag
	local root=$LAB_DIR/root-nginx codename sources=()
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ -s "$f" ] && sources+=("$f")
	done
	mmdebstrap --quiet --variant=minbase --include=nginx-light \
		--dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-exclude=/usr/share/man/* \
		--dpkgopt=path-exclude=/usr/share/locale/* "$codename" "$root" "${sources[@]}" \
		>>"$LAB_DIR/mmdebstrap.log" 2>&1 || lab_die "mmdebstrap failed, see $LAB_DIR/mmdebstrap.log" || return 1
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
	echo 'Hello from nginx in an ECS task.' >"$root/var/www/html/index.html"
	lab_push_image "$1" "$root" --config.cmd nginx --config.cmd -g --config.cmd 'daemon off;' \
		--config.exposedports 80/tcp --config.stopsignal SIGQUIT
	rm -rf "$root"
}

# The CLI takes hardly any IPv6 address for an endpoint: then LAB_CONTROLPLANE_NAME is what others call it.
lab_start_controlplane() { # address:port [option ...]
	local addr=$1
	shift
	lab_daemon controlplane "$LAB_BUILD/ecs-controlplane" --listen "$addr" --data "$LAB_DIR/controlplane" \
		--region "$LAB_REGION" "$@"
	echo "${LAB_CONTROLPLANE_NAME:-$addr}" >"$LAB_DIR/controlplane.addr"
	lab_wait 10 "ecs-controlplane on $addr (see $LAB_DIR/controlplane.log)" lab_aws list-clusters
}

# Starts an agent: lab_start_agent NAME [KEY=VALUE ...]. It keeps everything in LAB_DIR/NAME.
# With LAB_AGENT_PREFIX set (an array), that command is put in front: nsenter --net=/run/netns/x.
lab_start_agent() {
	local name=$1 dir=$LAB_DIR/$1
	shift
	mkdir -p "$dir"
	[ -s "$dir/env" ] || {
		printf '%s\n' "ECS_CLUSTER=lab" "ECS_BACKEND_HOST=http://$(cat "$LAB_DIR/controlplane.addr")" \
			"AWS_DEFAULT_REGION=$LAB_REGION" "AWS_EC2_METADATA_DISABLED=true" "ECS_DATADIR=$dir/data" \
			"ECS_RUN_DIR=$dir/run" "ECS_LOGFILE=$dir/agent.log" "ECS_AUDIT_LOGFILE=$dir/audit.log" "ECS_LIBEXEC_DIR=$LAB_BUILD" \
			"PATH=$PATH" "AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID" \
			"AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY" "$@" "${LAB_AGENT_ENV[@]}" >"$dir/env"
	}
	lab_resume_agent "$name"
}

# Starts an agent again with the settings it had.
lab_resume_agent() { # name
	local name=$1 env=()
	mapfile -t env <"$LAB_DIR/$name/env"
	lab_daemon "$name" "${LAB_AGENT_PREFIX[@]}" env -i "${env[@]}" "$LAB_BUILD/ecs-agent"
	lab_wait 10 "ecs-agent '$name' (see $LAB_DIR/$name.log)" lab_ecsctl "$name" version
}

lab_instance_connected() { # cluster
	local arns
	arns=$(lab_api ListContainerInstances "{\"cluster\":\"$1\"}" | jq -c .containerInstanceArns)
	case $arns in '' | '[]') return 1 ;; esac
	lab_api DescribeContainerInstances "{\"cluster\":\"$1\",\"containerInstances\":$arns}" |
		jq -e 'any(.containerInstances[]; .agentConnected)' >/dev/null
}

# Where an agent with ECS_CGROUP_PARENT=GROUP keeps its tasks, below a hierarchy's root: lab_cgroup GROUP
lab_cgroup() {
	if [ -d /run/systemd/system ] && [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
		echo "$1-tasks.service$1"
	else
		echo "$1"
	fi
}

# Removes what an agent made in the kernel and left for its containers: lab_forget_agent BRIDGE CGROUP
lab_forget_agent() {
	local bridge=$1 cgroup mount table
	cgroup=$(lab_cgroup "$2")
	[ "$cgroup" = "$2" ] || systemctl stop "${2#/}-tasks.service" 2>/dev/null || true
	ip link show dev "$bridge" >/dev/null 2>&1 && ip link delete dev "$bridge"
	for table in "inet ecs" "bridge ecs"; do
		# shellcheck disable=SC2086 # two words
		nft list table $table >/dev/null 2>&1 && nft delete table $table
	done
	# Rules that let the bridge pass in chains of others.
	nft -a list ruleset | awk '$1 == "table" { table = $2 " " $3 } $1 == "chain" { chain = $2 }
		/comment "ecs-agent"/ { print "delete rule", table, chain, "handle", $NF }' | nft -f -
	ip route flush to 169.254.170.2 dev lo proto static
	grep -F " $LAB_DIR/" /proc/self/mountinfo | cut -d' ' -f5 | sort -r | while read -r mount; do
		umount -l "$mount"
	done
	find /sys/fs/cgroup -depth -type d \( -path "/sys/fs/cgroup$cgroup*" -o -path "/sys/fs/cgroup/*$cgroup" \
		-o -path "/sys/fs/cgroup/*$cgroup/*" \) -exec rmdir {} + 2>/dev/null || true
}
