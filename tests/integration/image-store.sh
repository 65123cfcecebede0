#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The image store: whole-store check, repair, save and load again, clean-up of a disk that fills up,
# and ecs-image killed at random points. Prints TAP; needs root.
# ECS_KILLS: how often it is killed (default 25).
set -u
bin=${abs_top_builddir:-.}
image=$bin/ecs-image
plan=40
n=0
kills=${ECS_KILLS:-25}

skip() { echo "1..0 # SKIP $*"; exit 77; }

[ "$(id -u)" = 0 ] || skip "not root"
for tool in skopeo umoci unshare python3 busybox; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
if [ "${1:-}" != inside ]; then
	exec unshare -m --propagation private -- bash "$0" inside
fi

lab=$(mktemp -d /tmp/ecs-store-test-XXXXXX)
cleanup() {
	umount "$lab/small" 2>/dev/null
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
store=$lab/store
run() { "$image" --store "$store" "$@" >"$lab/out" 2>&1; }
value() { # of a JSON answer in out: a Python expression of v
	python3 -c 'import json,sys; v=json.loads(open("out").read().strip().splitlines()[-1]); print(eval(sys.argv[1]))' "$1"
}

# All that the layers of a store are.
describe() {
	(cd "$1/layers" && find . -mindepth 1 -type d -printf '%P %y %m %U %G\n' \
		-o ! -name '*.json' -printf '%P %y %m %U %G %s %l %n\n' | grep -v '\.outline ' | sort
	 find . -type f ! -name '*.json' -print0 | sort -z | xargs -0 sha256sum)
}

# Three layers with about everything in them, as oci:t.
make_image() {
	umoci init --layout oci && umoci new --image oci:t && umoci unpack --image oci:t b || return
	local r=b/rootfs
	mkdir -p $r/bin $r/etc $r/dev $r/opt/a $r/opt/b
	cp "$(command -v busybox)" $r/bin/busybox && ln $r/bin/busybox $r/bin/sh && ln -s busybox $r/bin/ls
	chmod 4755 $r/bin/busybox; chown 12:34 $r/opt/a; chmod 1777 $r/opt/a
	echo gone >$r/etc/gone; echo old >$r/opt/b/old; mkfifo $r/opt/pipe; mknod $r/dev/null c 1 3
	: >$r/etc/empty; : >$r/etc/noted; python3 -c 'import os; os.setxattr("b/rootfs/etc/noted", "user.note", b"1")'
	head -c 300000 /dev/urandom >$r/opt/data
	umoci repack --refresh-bundle --image oci:t b || return
	rm $r/etc/gone; rm -r $r/opt/b; mkdir $r/opt/b; echo new >$r/opt/b/new
	umoci repack --refresh-bundle --image oci:t b || return
	head -c 3000000 /dev/urandom >$r/opt/noise
	umoci repack --refresh-bundle --image oci:t b || return
	umoci config --image oci:t --config.cmd /bin/sh --config.env A=b
}

echo "1..$plan"
make_image >make.log 2>&1 || skip "cannot build an image: $(tail -1 make.log)"

run --name example.com/web:1 load oci; ok "an image is loaded under a name of one's own" $?
id=$("$image" --store $store --json inspect example.com/web:1 | sed 's/.*"id":"\([^"]*\)".*/\1/')

# ---- save and load ----
run --output a.tar save example.com/web:1; ok "it is saved" $?
"$image" --store "$lab/two" load - <a.tar >out 2>&1 && grep -qx example.com/web:1 out
ok "and loaded from standard input" $?
[ "$("$image" --store two --json inspect example.com/web:1 | sed 's/.*"id":"\([^"]*\)".*/\1/')" = "$id" ]
ok "as the same image" $?
describe two >got; describe store >wanted; [ -s wanted ] && diff wanted got >out
ok "with the same layers, byte for byte" $?
mkdir -p from-oci && skopeo copy -q --insecure-policy oci-archive:a.tar dir:from-oci >out 2>&1 &&
	skopeo copy -q --insecure-policy docker-archive:a.tar oci:from-docker:t >>out 2>&1
ok "skopeo reads the archive in both ways" $?
mkdir layout; run --output layout/ save example.com/web:1 && umoci unpack --image layout:1 again >>out 2>&1 &&
	[ -f again/rootfs/opt/b/new ]
ok "umoci unpacks the layout" $?
run --output none.tar save nothing:1; status=$?
[ $status = 1 ] && grep -q 'no such image: nothing:1' out; ok "what is not there cannot be saved" $?

# ---- verify ----
run --json verify && [ "$(value 'v["layers"], v["unverifiable"], v["damaged"]')" = "(3, 0, [])" ]
ok "a whole store verifies" $?
victim=$(find store/layers -name noise)
printf X | dd of="$victim" bs=1 seek=1000 conv=notrunc 2>/dev/null
run --json verify; status=$?
[ $status = 1 ] && [ "$(value 'v["damaged"][0]["kind"], len(v["damaged"])')" = "('layer', 1)" ]
ok "a changed byte is found" $?
run save example.com/web:1; status=$?
[ $status = 1 ] && grep -aq 'damaged' out; ok "and not saved" $?
echo -n "$id" >store/pins/somebody
run --repair verify; status=$?; rm store/pins/somebody
[ $status = 1 ] && [ -e "$victim" ]; ok "a container's image is not taken from under it" $?
run --repair verify; status=$?
[ $status = 0 ] && [ ! -e "$victim" ] && ! run inspect example.com/web:1; ok "otherwise what is damaged goes" $?
run --name example.com/web:1 load oci && run verify; ok "and comes back" $?
change() { # what it is, what is said of it, command that changes it within the layers
	local layer
	layer=$(dirname "$(dirname "$(find store/layers -name busybox)")")
	(cd "$layer" && eval "$3") && run verify; status=$?
	[ $status = 1 ] && grep -q "$2" out; ok "$1 is found" $?
	run --repair verify; run --name example.com/web:1 load oci || echo "# $(tail -1 out)"
}
change "a changed mode" "'bin/busybox' has the mode 0755, not 4755" 'chmod 755 bin/busybox'
change "a changed owner" "'opt/a' belongs to 1:34, not to 12:34" 'chown 1 opt/a'
change "a link that leads elsewhere" "'bin/ls' leads to 'sh', not to 'busybox'" 'ln -sfn sh bin/ls; touch -hd @1 bin/ls'
change "a lost empty file" "'etc/empty' is missing" 'rm etc/empty'
change "an empty file that is none" "'etc/empty' has 1 bytes, not 0" 'printf x >etc/empty'
change "a lost attribute" "'etc/noted' the attribute 'user.note' is missing" 'python3 -c "import os; os.removexattr(\"etc/noted\", \"user.note\")"'
change "another attribute" "'etc/noted' the attribute 'user.other' is new" 'python3 -c "import os; os.setxattr(\"etc/noted\", \"user.other\", b\"1\")"'
change "a device in place of a file" "'etc/empty' is a device, not a file" 'rm etc/empty; mknod etc/empty c 1 3'
change "a hard link that is a copy" "is no longer the same file as" 'cp -p bin/sh x && mv x bin/sh'
change "a file that was added" "'etc' was changed at" ': >etc/added'
run verify; ok "each is mended" $?
rm "$(find store/layers -name data)"; run verify; status=$?
[ $status = 1 ] && grep -q 'opt/data.* is missing' out; ok "a lost file is named" $?
run --repair verify; run --name example.com/web:1 load oci
config=store/images/sha256/${id#sha256:}.config
sed -i 's/A=b/A=c/' $config; run verify; status=$?
[ $status = 1 ] && grep -q "image $id" out; ok "a changed configuration is found" $?
run --repair verify; run --name example.com/web:1 load oci; run verify; ok "and mended" $?

# ---- du, prune ----
run --json du && [ "$(value 'v["layers"], len(v["images"]), v["images"][0]["inUse"], v["images"][0]["shared"]')" = "(3, 1, False, 0)" ]
ok "du counts what there is" $?
mkdir -p store/tmp/left; run prune && [ ! -e store/tmp/left ] && run inspect example.com/web:1
ok "prune takes leftovers, not images that have a name" $?
run --all --dry-run prune && grep -q "would remove $(echo $id | cut -c1-19)" out && run inspect example.com/web:1
ok "a dry run only tells" $?
run --all --keep web --keep example.com/web:1 prune && run inspect example.com/web:1; ok "what is to be kept stays" $?
run --all prune && [ -z "$(find store/layers store/images/sha256 store/refs store/used -mindepth 1 | tee -a out)" ]
ok "prune --all leaves nothing" $?

# ---- a disk that fills up ----
mkdir small; mount -t tmpfs -o size=16m,nr_inodes=4000 tmpfs small; store=$lab/small
for i in 1 2 3; do
	rm -rf z f; umoci init --layout z && umoci new --image z:t && mkdir f && head -c 3000000 /dev/urandom >f/n$i &&
		tar -C f -cf f.tar . && umoci raw add-layer --image z:t f.tar
	run --name web:$i load z
done >make.log 2>&1
age() { # days since the last use of web:$1, which was pulled, not loaded
	local i h
	i=$("$image" --store $store --json inspect web:$1 | sed 's/.*"id":"sha256:\([^"]*\)".*/\1/')
	: >small/used/$i; touch -d "-$2 days" small/used/$i
	sed -i 's/"origin":"load"/"origin":"pull"/' small/refs/*
}
age 1 1; age 2 3; age 3 2
run --json --tracked --min-age 3600 --pressure 90:80 prune && [ "$(value 'v["images"]')" = 0 ]
ok "a disk with room stays as it is" $?
run --json --tracked --min-age 3600 --pressure 50:40 prune &&
	[ "$(value 'v["images"], v["pressure"], v["usage"]["bytesPercent"] <= 40')" = "(1, False, True)" ] &&
	! run inspect web:2 && run inspect web:1 && run inspect web:3
ok "a full one costs the image not used for longest, however young" $?
touch small/{0..3900} 2>/dev/null
run --json --tracked --min-age 3600 --pressure 90:80 prune; [ "$(value 'v["pressure"]')" = True ] && ! run inspect web:3
ok "inodes count, too; when nothing is left to go that is said" $?
umount small; store=$lab/store

# ---- killed at random points ----
bad=0; torn=0; done=0
for i in $(seq "$kills"); do
	"$image" --store "$store" --name web:1 load oci >/dev/null 2>&1 & victim=$!
	sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
	kill -9 $victim 2>/dev/null && torn=$((torn + 1))
	wait $victim 2>/dev/null
	run --json verify || { bad=$((bad + 1)); cp out bad-$i; }
	if run inspect web:1; then
		done=$((done + 1))
		[ $((RANDOM % 2)) = 0 ] || run rm web:1
	fi
done
echo "# $kills runs, $torn killed, $done found whole"
[ $bad = 0 ] || sed 's/^/# /' bad-* | head -5
[ $bad = 0 ]; ok "after each kill the store verifies" $?
run --name web:1 load oci && run verify && [ -z "$(ls store/tmp)" ]; ok "the next load is whole, and leftovers are collected" $?
for i in $(seq $((kills / 5))); do
	run --name web:1 load oci
	"$image" --store "$store" --all prune >/dev/null 2>&1 & victim=$!
	sleep "0.00$((RANDOM % 10))"; kill -9 $victim 2>/dev/null; wait $victim 2>/dev/null
	run --json verify || [ "$(value '[d for d in v["damaged"] if d["kind"] != "reference"]')" = "[]" ] || bad=1
done
[ $bad = 0 ]; ok "a removal that is killed leaves no half image" $?
for _ in $(seq 50); do run --all prune; [ -z "$(ls store/tmp)" ] && break; sleep 0.1; done
[ -z "$(find store/layers store/images/sha256 -mindepth 1 ! -name '*.tmp-*' | tee -a out)" ]
ok "and the next one takes the rest" $?
