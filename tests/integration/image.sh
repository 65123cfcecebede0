#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ecs-image against Debian's docker-registry on loopback: what is pulled is what was pushed, twice,
# interrupted, damaged, behind a password, over TLS, and from files. Prints TAP; needs root.
set -u
bin=${abs_top_builddir:-.}
image=$bin/ecs-image
plan=40
n=0

skip() { echo "1..0 # SKIP $*"; exit 77; }

[ "$(id -u)" = 0 ] || skip "not root"
for tool in docker-registry skopeo umoci busybox unshare openssl ip python3; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
if [ "${1:-}" != inside ]; then
	exec unshare -m --propagation private -- bash "$0" inside
fi

lab=$(mktemp -d /tmp/ecs-image-test-XXXXXX)
pids=
cleanup() {
	for p in $pids; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
	umount "$lab/merged" "$lab/small" 2>/dev/null
	rm -rf "$lab"
}
trap cleanup EXIT
cd "$lab" || exit 1

ok() { # description, status
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		sed 's/^/# /' "$lab/out" 2>/dev/null | tail -20
	fi
}

pull() { "$image" --store "$lab/store" "$@" >"$lab/out" 2>&1; }

# Starts a registry on a free port; sets $port. Extra configuration: $1; of the server: $2.
start_registry() {
	local tries
	for tries in 1 2 3 4 5 6 7 8; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && continue
		cat >registry-$port.yml <<-EOF
			version: 0.1
			log: {level: error, accesslog: {disabled: true}}
			storage: {filesystem: {rootdirectory: $lab/data-$port}}
			http: {addr: "127.0.0.1:$port"${2:-}}
			${1:-}
		EOF
		docker-registry serve registry-$port.yml >registry-$port.log 2>&1 &
		pids="$pids $!"
		for _ in $(seq 100); do
			(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && return 0
			kill -0 $! 2>/dev/null || break
			sleep 0.05
		done
	done
	skip "no registry came up"
}

# An image of three layers with about everything a layer can hold, as oci:t.
make_image() {
	umoci init --layout oci && umoci new --image oci:t && umoci unpack --image oci:t b || return
	local r=b/rootfs
	mkdir -p $r/bin $r/etc $r/dev $r/opt/a $r/opt/b $r/usr/share/x
	cp "$(command -v busybox)" $r/bin/busybox && ln $r/bin/busybox $r/bin/sh && ln -s busybox $r/bin/ls
	chmod 4755 $r/bin/busybox; chown 12:34 $r/opt/a; chmod 1777 $r/opt/a
	echo gone >$r/etc/gone; echo old >$r/opt/b/old; mkfifo $r/opt/pipe; mknod $r/dev/null c 1 3
	touch -d 2001-02-03 $r/opt/b "$r/etc/gone"; echo "ü" >"$r/etc/naïve name"
	umoci repack --refresh-bundle --image oci:t b || return
	rm $r/etc/gone; rm -r $r/opt/b; mkdir $r/opt/b; echo new >$r/opt/b/new
	ln -s /etc $r/usr/share/x/link; ln -s ../../../../../etc/passwd $r/usr/share/x/up
	umoci repack --refresh-bundle --image oci:t b || return
	head -c 20000000 /dev/urandom >$r/opt/noise; rm $r/usr/share/x/up
	umoci repack --refresh-bundle --image oci:t b || return
	umoci config --image oci:t --config.cmd /bin/sh --config.env A=b --config.user 5:6 || return
	umoci unpack --image oci:t expected
}

# Everything about a tree that an application can see.
describe() {
	(cd "$1" && find . -mindepth 1 -type d -printf '%P %y %m %U %G %TY%Tm%Td%TH%TM\n' \
		-o -printf '%P %y %m %U %G %s %l %n %TY%Tm%Td%TH%TM\n' | sort
	 find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Mounts the layers of $1 as the agent does and compares with what umoci made.
same_tree() {
	local lower
	lower=$("$image" --store "$lab/store" --json inspect "$1" |
		sed 's/.*"layers":\[\([^]]*\)\].*/\1/; s/"//g' | tr , '\n' | tac | paste -sd:)
	mkdir -p merged up work
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=up,workdir=work" merged || return 1
	describe merged >got; describe expected/rootfs >wanted
	umount merged; rm -rf up work
	diff wanted got >"$lab/out"
}

echo "1..$plan"
make_image >make.log 2>&1 || skip "cannot build an image: $(tail -1 make.log)"
start_registry
ref=127.0.0.1:$port/test/web:1
skopeo copy -q --dest-tls-verify=false oci:oci:t docker://$ref >push.log 2>&1 || skip "cannot push"

pull pull $ref; ok "an image is pulled" $?
same_tree $ref; ok "its tree is what umoci unpacks" $?
pull --quiet inspect $ref; grep -q '"A=b"' out; ok "its configuration is kept" $?

before=$(find store/layers | wc -l)
pull --json pull $ref && grep -q '"from_cache":true' out; ok "a second pull fetches nothing" $?
[ "$(find store/layers | wc -l)" = "$before" ]; ok "and changes nothing" $?
[ -z "$(ls store/tmp)" ]; ok "no work directory is left" $?

digest=$("$image" --store store --json inspect $ref | sed 's/.*"digest":"\([^"]*\)".*/\1/')
[ "$digest" = "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://$ref)" ]
ok "the digest is the registry's" $?
pull pull 127.0.0.1:$port/test/web@$digest; ok "it is known by its digest" $?

pull pull 127.0.0.1:$port/test/none:1
[ $? = 1 ] && grep -q 'manifest for .*/test/none:1 not found: manifest unknown' out
ok "an absent image is named" $?

# zstd, in a store of its own, so that the layers are not there yet
skopeo copy -q --dest-compress --dest-compress-format zstd oci:oci:t oci:zstd:example.com/z:1
"$image" --store "$lab/zstore" load zstd >out 2>&1 && grep -qx example.com/z:1 out
ok "zstd layers are loaded from a layout" $?
[ "$(ls store/layers)" = "$(ls zstore/layers)" ]; ok "and are the same layers" $?

skopeo copy -q oci:oci:t oci-archive:a.tar:foo/bar:1
"$image" --store "$lab/astore" load a.tar >out 2>&1 && grep -qx docker.io/foo/bar:1 out
ok "an OCI archive is loaded" $?
skopeo copy -q oci:oci:t docker-archive:d.tar:foo/dock:2
"$image" --store "$lab/dstore" load d.tar >out 2>&1 && grep -qx docker.io/foo/dock:2 out
ok "a docker archive is loaded" $?
[ "$(ls astore/layers)" = "$(ls dstore/layers)" ]; ok "and is the same image" $?

pull rm $ref; ok "an image is removed" $?
[ -z "$(ls store/layers store/images/sha256 store/refs | grep -v :)" ]; ok "with all it had" $?

# Killed in the middle: nothing half is seen, and the next pull mends it.
for delay in 0.01 0.03 0.06 0.1; do
	"$image" --store "$lab/store" pull $ref >/dev/null 2>&1 &
	victim=$!
	sleep $delay
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null
done
pull pull $ref && same_tree $ref; ok "a pull after kill -9 is whole" $?
sleep 0.3; pull rm $ref && pull pull $ref
[ -z "$(ls store/tmp)" ]; ok "the leftovers are collected" $?

# Two at once share the work.
pull rm $ref
"$image" --store "$lab/store" pull $ref >one 2>&1 & one=$!
pull pull $ref; two=$?
wait $one && [ $two = 0 ] && same_tree $ref; ok "two pulls at once both succeed" $?

# A damaged blob
pull rm $ref
blob=$(find data-$port -name data -size +10M | head -1)
printf XXXX | dd of="$blob" bs=1 seek=1000000 conv=notrunc 2>/dev/null
pull pull $ref; status=$?
[ $status = 1 ] && grep -qE 'digest|damaged' out && [ -z "$(ls store/images/sha256 | grep -v tmp-)" ]
ok "a damaged layer is refused" $?

# Behind a password (bcrypt by crypt(3) of perl)
hash=$(perl -e 'print crypt("s3cret", "\$2b\$05\$abcdefghijklmnopqrstuu")')
echo "joe:$hash" >htpasswd
start_registry "auth: {htpasswd: {realm: lab, path: $lab/htpasswd}}"
ref=localhost:$port/private:1
skopeo copy -q --dest-tls-verify=false --dest-creds joe:s3cret oci:oci:t docker://$ref >push.log 2>&1
pull pull $ref; status=$?
[ $status = 1 ] && grep -q 'pull access denied for' out; ok "without a password it is denied" $?
echo s3cret | "$image" --store "$lab/store" --username joe --password-stdin pull $ref >out 2>&1
ok "with the password it is pulled" $?

# Over TLS, by a name that is not this machine's, and on this machine, where TLS has to be found out.
{
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=lab authority" \
		-keyout ca.key -out ca.pem &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry.test \
			-keyout tls.key -out tls.csr &&
		openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out tls.pem \
			-extfile <(echo subjectAltName=DNS:registry.test,DNS:localhost,IP:127.0.0.1)
} >tls.log 2>&1 || echo "# openssl: $(tail -1 tls.log)"
printf '127.0.0.1 localhost registry.test other.test plain.test\n' >hosts
mount --bind hosts /etc/hosts
start_registry "" ", tls: {certificate: $lab/tls.pem, key: $lab/tls.key}"
skopeo copy -q --dest-tls-verify=false oci:oci:t docker://localhost:$port/tls:1 >push.log 2>&1
ref=registry.test:$port/tls:1
SSL_CERT_FILE=$lab/ca.pem pull --behavior always pull $ref
ok "an authority of one's own is trusted when SSL_CERT_FILE says so" $?
"$image" --store "$lab/fresh" pull $ref >out 2>&1; status=$?
[ $status = 1 ] && grep -qi certificate out; ok "and not otherwise" $?
SSL_CERT_FILE=$lab/ca.pem "$image" --store "$lab/fresh" pull other.test:$port/tls:1 >out 2>&1; status=$?
[ $status = 1 ] && grep -q 'other.test' out; ok "a certificate for another name is refused" $?
ref=registry.test:$port/tls:1
rm -rf fresh; mkdir -p certs.d/registry.test:$port && cp ca.pem certs.d/registry.test:$port/lab.crt
"$image" --store "$lab/fresh" --certs-dir "$lab/certs.d" pull $ref >out 2>&1
ok "also when it stands in the registry's directory of certificates" $?
"$image" --store "$lab/fresh2" --certs-dir "$lab/certs.d" pull localhost:$port/tls:1 >out 2>&1; status=$?
[ $status = 1 ] && grep -qi certificate out; ok "and then for that registry alone" $?
tls_port=$port
start_registry "" ", tls: {certificate: $lab/tls.pem, key: $lab/tls.key, clientcas: [$lab/ca.pem]}"
mkdir -p certs.d/registry.test:$port && cp ca.pem certs.d/registry.test:$port/lab.crt
"$image" --store "$lab/fresh" --certs-dir "$lab/certs.d" pull registry.test:$port/none:1 >out 2>&1; status=$?
[ $status = 1 ] && ! grep -q 'not found' out; ok "who wants to see a certificate is not talked to without" $?
cp tls.pem certs.d/registry.test:$port/client.cert; cp tls.key certs.d/registry.test:$port/client.key
"$image" --store "$lab/fresh" --certs-dir "$lab/certs.d" pull registry.test:$port/none:1 >out 2>&1; status=$?
[ $status = 1 ] && grep -q 'manifest for .* not found' out; ok "and shown the registry's own" $?
port=$tls_port
for host in 127.0.0.1 localhost; do
	rm -rf fresh
	SSL_CERT_FILE=$lab/ca.pem "$image" --store "$lab/fresh" pull $host:$port/tls:1 >out 2>&1
	ok "$host may speak TLS as well" $?
done
rm -rf fresh
start_registry
skopeo copy -q --dest-tls-verify=false oci:oci:t docker://localhost:$port/plain:1 >push.log 2>&1
"$image" --store "$lab/fresh" pull plain.test:$port/plain:1 >out 2>&1; status=$?
[ $status = 1 ] && [ -z "$(ls fresh/layers)" ]; ok "elsewhere nothing is fetched without TLS" $?
"$image" --store "$lab/fresh" --plain-http pull plain.test:$port/plain:1 >out 2>&1
ok "unless asked to" $?

# The instance's credentials live at a link-local address: whatever a name stands for, nobody knocks there.
printf '169.254.169.254 four.test\n::ffff:169.254.169.254 mapped.test\nfd00:ec2::254 six.test\n127.0.0.1 near.test\n' >hosts
cat >knock.py <<'EOF'
import socket
s = socket.create_server(("::", 5999), family=socket.AF_INET6, dualstack_ipv6=True)
open("listening", "w").close()
while True:
    c, a = s.accept()
    c.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    c.close()
    open("knocked", "w").close()
EOF
cat >knock.sh <<'EOF'
ip link set lo up; ip address add 169.254.169.254/32 dev lo; ip address add fd00:ec2::254/128 dev lo nodad
python3 knock.py & server=$!
for _ in $(seq 100); do [ -e listening ] && break; sleep 0.05; done
for host in near four mapped six; do
	rm -f knocked
	timeout 20 "$1" --store fresh --plain-http --timeout 3 pull $host.test:5999/a:1 >out 2>&1
	[ -e knocked ] && echo $host
done
kill $server
EOF
reached=$(unshare -n bash knock.sh "$image" 2>knock.log); echo "# reached: $reached"
[ "${reached%%$'\n'*}" = near ]; ok "a registry next door is asked" $?
[ "$reached" = near ]; ok "link-local addresses are never connected to, in whatever guise" $?

# A disk that is too small
mkdir small; mount -t tmpfs -o size=8m tmpfs small
"$image" --store "$lab/small" --json load oci >out 2>&1; status=$?
[ $status = 1 ] && grep -q '"kind":"no-space"' out && grep -qE 'layers? to fetch takes? [0-9]+ bytes compressed and about [0-9]+ unpacked; [0-9]+ of 8388608 bytes and [0-9]+ of [0-9]+ inodes are free in' out
ok "what cannot fit is refused before it is fetched" $?
umoci init --layout zeros && umoci new --image zeros:t && umoci unpack --image zeros:t z &&
	head -c 20000000 /dev/zero >z/rootfs/zeros && umoci repack --refresh-bundle --image zeros:t z
"$image" --store "$lab/small" --json load zeros >out 2>&1; status=$?
[ $status = 1 ] && grep -q '"kind":"no-space"' out && grep -q "of 8388608 bytes and .* inodes are free in" out
ok "what unpacks to more than there is says how much there was" $?
[ -z "$(find small/tmp small/layers -mindepth 1 | tee -a out)" ]; ok "and leaves nothing" $?
mkdir small/tmp/left && head -c 7000000 /dev/zero >small/tmp/left/by-a-killed-pull
umoci init --layout some && umoci new --image some:t && umoci unpack --image some:t s &&
	head -c 3000000 /dev/urandom >s/rootfs/noise && umoci repack --refresh-bundle --image some:t s
"$image" --store "$lab/small" load some >out 2>&1
ok "leftovers make room before the room is measured" $?
umount small; mkdir big
head -c 100000000 /dev/urandom >s/rootfs/noise && umoci init --layout much && umoci new --image much:t
tar -C s/rootfs -cf much.tar noise && umoci raw add-layer --image much:t much.tar 2>much.log || cat much.log
"$image" --store "$lab/big" load much >out 2>&1 & load=$!
for _ in $(seq 200); do [ -n "$(find big/tmp -name noise 2>/dev/null)" ] && break; sleep 0.02; done
begun=$(ls big/tmp); kill $load; wait $load
[ $? = 1 ] && [ -n "$begun" ] && [ -z "$(ls big/tmp)" ]; ok "a load that is interrupted leaves nothing" $?
