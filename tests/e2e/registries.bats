#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a task's execution role opens, by signed calls to local doubles of the services: registries that want a
# login (secrets of Secrets Manager; ECR under its own name, over TLS with an authority of
# /etc/docker/certs.d), the values of a container's secrets and its environment files. Images fetched ahead of tasks.

load helper

ECR=123456789012.dkr.ecr.us-west-2.amazonaws.com
ROLE='"executionRoleArn":"arn:aws:iam::123456789012:role/exec"'

# A registry behind a password: locked_registry NAME ADDRESS USER PASSWORD [more of its http: section]
locked_registry() {
	printf '%s:%s\n' "$3" "$(perl -e 'print crypt($ARGV[0], "\$2b\$05\$abcdefghijklmnopqrstuu")' "$4")" \
		>"$LAB_DIR/$1.htpasswd"
	cat >"$LAB_DIR/$1.yml" <<-YAML
		version: 0.1
		log: { level: warn }
		storage: { filesystem: { rootdirectory: $LAB_DIR/registry } }
		auth: { htpasswd: { realm: lab, path: $LAB_DIR/$1.htpasswd } }
		http: { addr: "$2"${5:-} }
	YAML
	lab_daemon "$1" docker-registry serve "$LAB_DIR/$1.yml"
	lab_wait 60 "registry on $2" bash -c "exec 3<>/dev/tcp/${2/:/\/}"
}

make_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=lab authority" \
		-keyout "$LAB_DIR/ca.key" -out "$LAB_DIR/ca.pem"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$ECR" \
		-keyout "$LAB_DIR/tls.key" -out "$LAB_DIR/tls.csr"
	openssl x509 -req -in "$LAB_DIR/tls.csr" -CA "$LAB_DIR/ca.pem" -CAkey "$LAB_DIR/ca.key" -CAcreateserial \
		-days 2 -out "$LAB_DIR/tls.pem" -extfile <(echo "subjectAltName=DNS:$ECR")
}

setup_file() {
	local dir
	dir=$(mktemp -d /var/tmp/ecs-e2e-etc.XXXXXX)
	mkdir "$dir/up" "$dir/work"
	mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/up,workdir=$dir/work" /etc
	echo "127.0.0.1 localhost $ECR" >/etc/hosts
	export ETC_DIR=$dir
	lab_up AWS_ENDPOINT_URL_ECR=http://127.0.0.1:7777 AWS_ENDPOINT_URL_SECRETS_MANAGER=http://127.0.0.1:7777 \
		AWS_ENDPOINT_URL_SSM=http://127.0.0.1:7777 AWS_ENDPOINT_URL_S3=http://127.0.0.1:7777 ECS_IMAGE_PREFETCH=127.0.0.1:5000/web:latest
	make_certificate >"$LAB_DIR/openssl.log" 2>&1
	mkdir -p "/etc/docker/certs.d/$ECR" "$LAB_DIR/secrets" "$LAB_DIR/parameters" "$LAB_DIR/buckets/conf"
	cp "$LAB_DIR/ca.pem" "/etc/docker/certs.d/$ECR/lab.crt"
	echo '{"username":"joe","password":"s3cret"}' >"$LAB_DIR/secrets/good"
	echo '{"username":"joe","password":"wrong"}' >"$LAB_DIR/secrets/stale"
	echo 'hunter2' >"$LAB_DIR/secrets/bad"
	printf '{"user":"ann","key":"plover-egg"}' >"$LAB_DIR/secrets/app"
	printf '# A=0\nA=first\nB= "as it is" \r\nno pair\n=nameless\nMOTTO=weaker\n' >"$LAB_DIR/buckets/conf/one.env"
	printf 'A=second\nC=c=d\nMOTTO=weakest' >"$LAB_DIR/buckets/conf/two.env"
	printf 'xyzzy: no spoon' >"$LAB_DIR/parameters/motto"
	echo 'ecr:token' >"$LAB_DIR/ecr-password"
	lab_daemon double python3 "$TOP/tests/e2e/aws-double.py" 7777 "$LAB_DIR"
	lab_wait 60 "the double of ECR" bash -c 'exec 3<>/dev/tcp/127.0.0.1/7777'
	locked_registry locked 127.0.0.1:5001 joe s3cret
	locked_registry ecr 127.0.0.1:443 AWS ecr:token \
		", tls: { certificate: $LAB_DIR/tls.pem, key: $LAB_DIR/tls.key }"
}

teardown_file() {
	stop_all_tasks || true
	for name in double locked ecr; do
		lab_stop "$name"
	done
	lab_down
	umount /etc
	rm -rf "$ETC_DIR"
}

teardown() { lab_report; }

# One container from another registry: register_from FAMILY IMAGE [container members] [task members]
register_from() {
	register "$1" "[{\"name\":\"main\",\"image\":\"$2\",\"memory\":64,\"essential\":true,
		\"command\":[\"sleep\",\"1000\"]${3:+,$3}}]" "${4:-}"
}

credentials() { echo "\"repositoryCredentials\":{\"credentialsParameter\":\"arn:aws:secretsmanager:us-west-2:123456789012:secret:$1\"}"; }

failure_of() { # FAMILY: runs it and prints why its container did not start
	local arn
	arn=$(run_task "$1")
	until_status "$arn" STOPPED 60
	describe "$arn" '.containers[0].reason'
}

@test "images on the list are there before any task wants them" {
	lab_wait 60 "the prefetched image" grep -q "127.0.0.1:5000/web:latest' is prefetched" "$LAB_DIR/agent.log"
	"$LAB_BUILD/ecs-image" --store "$LAB_DIR/agent/data/images" ls | grep -q '127.0.0.1:5000/web:latest'
}

@test "a private registry is opened with a secret, by the execution role" {
	register_from secret 127.0.0.1:5001/web:latest "$(credentials good)" "$ROLE"
	arn=$(run_task secret)
	until_status "$arn" RUNNING 60
	grep -q 'secretsmanager.GetSecretValue by arn:aws:iam::123456789012:role/exec: {"SecretId":"arn:aws:secretsmanager:us-west-2:123456789012:secret:good"}' "$LAB_DIR/double.log"
	# Nobody but the pull saw the password.
	seen=$(grep -rls s3cret "$LAB_DIR/agent/data" "$LAB_DIR/agent/run" "$LAB_DIR/agent.log" || true)
	[ -z "$seen" ] || { echo "$seen"; false; }
	stop_task "$arn"
}

@test "what is wrong with a secret is said" {
	register_from none 127.0.0.1:5001/web:none "$(credentials absent)" "$ROLE"
	run -0 failure_of none
	[[ $output = "CannotPullContainerAuthError: asm fetching secret from the service for "*":secret:absent: "*"ResourceNotFoundException: Secrets Manager can't find the specified secret."* ]]
	register_from bad 127.0.0.1:5001/web:none "$(credentials bad)" "$ROLE"
	run -0 failure_of bad
	[ "$output" = "CannotPullContainerAuthError: asm fetching authorization data: unable to unmarshal secret value, invalid schema" ]
	register_from stale 127.0.0.1:5001/web:none "$(credentials stale)" "$ROLE"
	run -0 failure_of stale
	[[ $output = "CannotPull"*"pull access denied for 127.0.0.1:5001/web"* ]]
}

@test "ECR is opened with the instance's keys, and with the execution role" {
	register_from ecr "$ECR/web:latest"
	arn=$(run_task ecr)
	until_status "$arn" RUNNING 60
	grep -q 'GetAuthorizationToken by instance: {"registryIds":\["123456789012"\]}' "$LAB_DIR/double.log"
	stop_task "$arn"
	register_from ecr-role "$ECR/web:latest" "" "$ROLE"
	arn=$(run_task ecr-role)
	until_status "$arn" RUNNING 60
	grep -q 'GetAuthorizationToken by arn:aws:iam::123456789012:role/exec' "$LAB_DIR/double.log"
	stop_task "$arn"
}

@test "one token serves all images of a registry" {
	before=$(grep -c 'GetAuthorizationToken by instance' "$LAB_DIR/double.log")
	register_from again "$ECR/web:none"
	run -0 failure_of again
	[[ $output = "CannotPull"*"not found"* ]]
	[ "$(grep -c 'GetAuthorizationToken by instance' "$LAB_DIR/double.log")" = "$before" ]
}

@test "an ECR that gives no token is named" {
	rm "$LAB_DIR/ecr-password"
	register_from dead 210987654321.dkr.ecr.us-west-2.amazonaws.com/web:latest
	run -0 failure_of dead
	[[ $output = "CannotPullECRContainerError: ecr auth: GetAuthorizationToken: "* ]]
}

ASM=arn:aws:secretsmanager:us-west-2:123456789012:secret

# Runs a script with secrets, NAME=FROM each: register_secrets FAMILY SCRIPT NAME=FROM ...
register_secrets() {
	local family=$1 script=$2 list="" pair
	shift 2
	for pair; do
		list="$list${list:+,}{\"name\":\"${pair%%=*}\",\"valueFrom\":\"${pair#*=}\"}"
	done
	register "$family" "[{\"name\":\"main\",\"image\":\"IMAGE\",\"memory\":64,\"essential\":true,
		\"command\":[\"sh\",\"-c\",$(jq -Rs . <<<"$script")],
		\"environment\":[{\"name\":\"MOTTO\",\"value\":\"weak\"}],\"secrets\":[$list]}]" "$ROLE"
}

@test "a container's secrets are in its environment, and nowhere else" {
	# The task definition is written down, so it names only the hash of what is expected.
	hash=$(printf '%s|%s|%s' 'xyzzy: no spoon' ann '{"user":"ann","key":"plover-egg"}' | sha256sum)
	register_secrets inside "[ \"\$(printf '%s|%s|%s' \"\$MOTTO\" \"\$USER_NAME\" \"\$ALL\" | sha256sum)\" = '$hash' ] && exec sleep 1000" \
		"MOTTO=motto" "USER_NAME=$ASM:app:user::" "ALL=$ASM:app"
	arn=$(run_task inside)
	until_status "$arn" RUNNING 60
	sleep_is_there() { [ "$(tr '\0' ' ' <"/proc/$(container_pid "$arn" main)/cmdline")" = "sleep 1000 " ]; }
	lab_wait 60 "the script to find its secrets" sleep_is_there
	grep -q 'AmazonSSM.GetParameters by arn:aws:iam::123456789012:role/exec: {"Names":\["motto"\],"WithDecryption":true}' "$LAB_DIR/double.log"
	[ "$(grep -c 'GetSecretValue by .*:secret:app"' "$LAB_DIR/double.log")" = 1 ]
	lab_ecsctl agent inspect "${arn##*/}" --json >"$LAB_DIR/inspect.json"
	seen=$(grep -rlsE 'xyzzy|plover-egg' "$LAB_DIR/agent" "$LAB_DIR/agent.log" "$LAB_DIR/inspect.json" || true)
	[ -z "$seen" ] || { echo "$seen"; false; }
	stop_task "$arn"
}

@test "a task whose secrets cannot be had is stopped with the reason" {
	register_secrets missing true "A=motto" "B=absent" "C=gone"
	arn=$(run_task missing)
	until_status "$arn" STOPPED 60
	[ "$(describe "$arn" .stoppedReason)" = "Fetching secret data from SSM Parameter Store in us-west-2: invalid parameters: absent,gone" ]
	register_secrets nokey true "A=$ASM:app:none::"
	arn=$(run_task nokey)
	until_status "$arn" STOPPED 60
	[ "$(describe "$arn" .stoppedReason)" = "Trying to retrieve secret with value $ASM:app:none:: resulted in error: retrieved secret from Secrets Manager did not contain json key none" ]
	[ "$(describe "$arn" '.containers[0].exitCode')" = null ]
}

# Runs a script with files of the bucket "conf": register_files FAMILY SCRIPT FILE ...
register_files() {
	local family=$1 script=$2 list="" file
	shift 2
	for file; do
		list="$list${list:+,}{\"type\":\"s3\",\"value\":\"arn:aws:s3:::$file\"}"
	done
	register_from "$family" "$(cat "$LAB_DIR/registry.addr")/web:latest" "\"environmentFiles\":[$list],
		\"environment\":[{\"name\":\"MOTTO\",\"value\":\"strong\"}]" "$ROLE"
	jq -n --arg s "$script" '{containerOverrides: [{name: "main", command: ["sh", "-c", $s]}]}' >"$LAB_DIR/$family.json"
}

@test "environment files are read as they are, the first one before the second, below environment" {
	# shellcheck disable=SC2016
	register_files files '[ "$A|$B|$C|$MOTTO" = "first| \"as it is\" |c=d|strong" ] && exit 9' conf/one.env conf/two.env
	arn=$(run_task files --overrides "file://$LAB_DIR/files.json")
	until_status "$arn" STOPPED 60
	[ "$(describe "$arn" '.containers[0].exitCode')" = 9 ]
	grep -q '^GET /conf/two.env by arn:aws:iam::123456789012:role/exec' "$LAB_DIR/double.log"
	register_files nofile true conf/one.env conf/none.env
	arn=$(run_task nofile)
	until_status "$arn" STOPPED 60
	[ "$(describe "$arn" .stoppedReason)" = "Unable to download env file with key none.env from bucket conf, error: NoSuchKey: not there (HTTP 404)" ]
}
