#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each example of packaging/cloud-init boots a machine of its own, an EC2 instance with a role, and does what it says.
# They are taken as they are, but for the port of the package repository and the name of its key. Where the local control
# plane is, comes from the machine's vendor data. dnf.yaml is for other systems and is not booted.
# shellcheck disable=SC2016,SC2034 # the machine's shell expands; helper.bash looks at CLUSTER

load helper
CLUSTER=my-cluster

setup_file() {
	beside_up
	lab_aws create-cluster --cluster-name my-cluster >/dev/null
	register_script web "trap 'exit 7' TERM; sleep 10000 & wait"
	metadata_up role
	# What the machine asks for names; the mount namespace is this file's own.
	echo nameserver 127.0.0.1 >"$LAB_DIR/resolv.conf"
	mount --bind "$LAB_DIR/resolv.conf" /etc/resolv.conf
	lab_daemon names /usr/bin/python3 "$BATS_TEST_DIRNAME/names.py" 10.0.2.2 proxy.example.com packages.example.com \
		keyserver.ubuntu.com
}
teardown_file() {
	umount /etc/resolv.conf
	beside_down metadata names proxy keys repository
}
teardown() {
	vm_report
	vm_cut_power
	lab_api ListContainerInstances '{"cluster":"my-cluster"}' | jq -r '.containerInstanceArns[]' | while read -r arn; do
		lab_api DeregisterContainerInstance "{\"cluster\":\"my-cluster\",\"containerInstance\":\"$arn\",\"force\":true}" >/dev/null
	done
}

# A machine starts with an example, and its agent comes to be connected: boot EXAMPLE IMAGE BACKEND [SED-SCRIPT]
boot() {
	vm_disk "$2"
	sed "${4:-}" "$TOP/packaging/cloud-init/$1" >"$LAB_DIR/seed/user-data"
	cat >"$LAB_DIR/seed/vendor-data" <<-YAML
		#cloud-config
		bootcmd:
		  - echo ECS_BACKEND_HOST=$3 >/etc/default/ecs
	YAML
	echo role >"$LAB_DIR/mood"
	vm_start systemd.unified_cgroup_hierarchy=1 "${VM_ON_EC2[@]}"
	vm -t 300 'cloud-init status --wait --long'
	lab_wait 90 "the instance to be connected" is_connected
	[ "$(instances .ec2InstanceId)" = i-0123456789abcdef0 ]
}
direct=http://10.0.2.2:8080

# A repository of the package, signed by a key that a key server has; sets fingerprint.
make_repository() {
	local repository=$LAB_DIR/repository release
	mkdir -p "$repository/debian/pool" "$repository/debian/dists/bookworm/main/binary-amd64" "$LAB_DIR/keys/pks"
	cp "$VM_PACKAGE" "$repository/debian/pool/"
	cd "$repository/debian" || return
	dpkg-scanpackages -a amd64 pool >dists/bookworm/main/binary-amd64/Packages 2>/dev/null
	cd dists/bookworm || return
	release=main/binary-amd64/Packages
	printf '%s\n' 'Suite: stable' 'Codename: bookworm' 'Architectures: amd64' 'Components: main' "Date: $(LC_ALL=C date -Ru)" \
		SHA256: " $(sha256sum $release | cut -d' ' -f1) $(stat -c %s $release) $release" >Release
	export GNUPGHOME=$LAB_DIR/gnupg
	mkdir -m 0700 "$GNUPGHOME"
	gpg --batch --quiet --passphrase '' --quick-generate-key 'Packages <packages@example.com>' rsa2048 sign 0
	gpg --batch --quiet --clearsign -o InRelease Release
	gpg --batch --armor --export >"$LAB_DIR/keys/pks/lookup"
	fingerprint=$(gpg --batch --with-colons --list-keys | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1)
	gpgconf --kill all
	lab_daemon repository /usr/bin/python3 -m http.server 8000 --bind 127.0.0.1 --directory "$repository"
	lab_daemon keys /usr/bin/python3 -m http.server 11371 --bind 127.0.0.1 --directory "$LAB_DIR/keys"
}

@test "apt.yaml: the package comes from a signed repository, and the agent runs" {
	make_repository
	boot apt.yaml "$VM_IMAGE" "$direct" \
		"s,https://packages.example.com,http://packages.example.com:8000,; s,0123456789ABCDEF0123456789ABCDEF01234567,$fingerprint,"
	[ "$(vm "dpkg-query -W -f '\${db:Status-Status}' ecs-agent")" = installed ]
	vm 'systemctl -q is-enabled ecs-boot'
	run_task web
	lab_wait 90 "the task to run" runs web 1
}

@test "one-line.sh: ecs-boot starts the agent after user data" {
	boot one-line.sh "$VM_IMAGE_INSTALLED" "$direct"
	vm '[ $(systemctl show -P InactiveExitTimestampMonotonic ecs) -gt $(systemctl show -P ActiveEnterTimestampMonotonic cloud-final) ]'
}

@test "attributes.yaml: attributes, tags, and what tasks do not get" {
	boot attributes.yaml "$VM_IMAGE_INSTALLED" "$direct"
	[ "$(instances '[.attributes[] | select(.name == "rack" or .name == "disk") | "\(.name)=\(.value)"] | sort | join(" ")')" = "disk=ssd rack=r12" ]
	[ "$(instances '.registeredResources[] | select(.name == "PORTS") | [.stringSetValue[] | select(. == "9100")] | length')" = 1 ]
	total=$(vm "sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo")
	registered=$(instances '.registeredResources[] | select(.name == "MEMORY") | .integerValue')
	[ "$registered" = $((total / 1024 - 256)) ]
	arn=$(lab_api ListContainerInstances '{"cluster":"my-cluster"}' | jq -r '.containerInstanceArns[0]')
	[ "$(lab_api ListTagsForResource "{\"resourceArn\":\"$arn\"}" | jq -c '[.tags[] | select(.key == "team") | .value]')" = '["web"]' ]
}

@test "proxy.yaml: everything goes through the proxy but the metadata service" {
	lab_daemon proxy /usr/bin/python3 "$BATS_TEST_DIRNAME/proxy.py" 3128
	boot proxy.yaml "$VM_IMAGE_INSTALLED" http://controlplane.example.com:8080
	grep -q 'POST controlplane.example.com:8080' "$LAB_DIR/proxy.log"
	grep -q 'CONNECT controlplane.example.com:8080' "$LAB_DIR/proxy.log"
	run ! grep -v ' controlplane.example.com:8080$' "$LAB_DIR/proxy.log"
}

@test "spot.yaml: waits for the registration, drains at the notice, and has more time to stop" {
	boot spot.yaml "$VM_IMAGE_INSTALLED" "$direct"
	[ "$(vm 'systemctl show -P TimeoutStopUSec ecs-drain')" = "1min 55s" ]
	[ "$(vm 'systemctl show -P ExecStop ecs-drain' | grep -c ecsctl)" = 1 ]
	vm 'grep "^connected    yes" /var/log/cloud-init-output.log'
	run_task web
	lab_wait 90 "the task to run" runs web 1
	echo spot >"$LAB_DIR/mood"
	lab_wait 60 "the instance to drain" is_draining
	runs web 1
}
