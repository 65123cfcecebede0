#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pulls over the network that are killed (SIGKILL) at random moments, while layers arrive and while they are
put into the store. After each the store verifies, shows the image whole or not at all, and what is in it
already is not fetched again. KILL_ROUNDS=200 KILL_SEED=7 for more of it. Prints TAP; needs root."""
import gzip, hashlib, http.server, io, json, os, random, shutil, signal, subprocess, sys, tarfile, tempfile
import threading, time

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
IMAGE = os.path.join(os.environ.get("abs_top_builddir", "."), "ecs-image")
ROUNDS = int(os.environ.get("KILL_ROUNDS", "24"))
SEED = int(os.environ.get("KILL_SEED", str(int(time.time()))))
OCI = "application/vnd.oci.image."
STEP = 16384
rand = random.Random(SEED)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_layer(number, size):
    """Files of a layer; every second one leaves its directory to the layers below."""
    out, files = io.BytesIO(), {}
    with tarfile.open(fileobj=out, mode="w") as t:
        if number % 2 == 0:
            d = tarfile.TarInfo("data")
            d.type, d.mode = tarfile.DIRTYPE, 0o750
            t.addfile(d)
        for i in range(3):
            name = "data/%d-%d" % (number, i)
            files[name] = rand.randbytes(size // 3)
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            t.addfile(info, io.BytesIO(files[name]))
        link = tarfile.TarInfo("data/%d-link" % number)
        link.type, link.linkname = tarfile.LNKTYPE, "data/%d-0" % number
        t.addfile(link)
        files[link.name] = files[link.linkname]
    return out.getvalue(), files


blobs, FILES, layers, diff_ids = {}, {}, [], []
for number in range(6):  # two more than are fetched at once
    plain, files = make_layer(number, 300000 * (number + 1))
    blob = gzip.compress(plain, 1)
    blobs[digest(blob)] = blob
    FILES.update(files)
    diff_ids.append(digest(plain))
    layers.append({"mediaType": OCI + "layer.v1.tar+gzip", "digest": digest(blob), "size": len(blob)})
config = json.dumps({"os": "linux", "architecture": "amd64", "config": {},
                     "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
blobs[digest(config)] = config
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "layers": layers, "config": {
    "mediaType": OCI + "config.v1+json", "digest": digest(config), "size": len(config)}}).encode()
TOTAL = sum(x["size"] for x in layers)


class Round:
    """One pull: when so many bytes of layers were sent, and so long after, it is killed."""
    def __init__(self, kill_at, delay):
        self.kill_at, self.delay, self.sent, self.fetched = kill_at, delay, 0, []
        self.lock, self.child, self.due, self.last = threading.Lock(), None, threading.Event(), 0

    def count(self, n):
        with self.lock:
            self.sent += n
            self.last = time.monotonic()
            if self.kill_at is not None and self.sent >= self.kill_at:
                self.due.set()

    def run(self):
        self.child = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if self.kill_at is not None:
            while not self.due.wait(0.02) and self.child.poll() is None:
                pass
            try:
                self.child.wait(self.delay)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.said = self.child.communicate(timeout=120)[1]
        return self.child.returncode


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        r = self.server.round
        what = self.path.split("/")[-2]
        body = MANIFEST if what == "manifests" else blobs[self.path.split("/")[-1]]
        is_layer = body is not MANIFEST and body is not config
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if what == "manifests":
            self.send_header("Content-Type", OCI + "manifest.v1+json")
            self.send_header("Docker-Content-Digest", digest(MANIFEST))
        try:
            self.end_headers()
            if self.command == "HEAD":
                return
            if is_layer:
                r.fetched.append(self.path.split("/")[-1])
            for at in range(0, len(body), STEP):
                self.wfile.write(body[at:at + STEP])
                if is_layer:
                    r.count(min(STEP, len(body) - at))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass


def image(*args):
    return subprocess.run([IMAGE, "--store", STORE, *args], capture_output=True, text=True, timeout=120)


def list_kept():
    """Digests of the blobs whose layers the store has."""
    have = set()
    for name in os.listdir(STORE + "/layers"):
        if name.endswith(".json") and os.path.isdir(STORE + "/layers/" + name[:-5]):
            with open(STORE + "/layers/" + name) as f:
                text = f.read()
            have.update(layers[i]["digest"] for i in range(len(layers)) if diff_ids[i] in text)
    return have


def is_whole():
    seen = {}
    for top, _, names in os.walk(STORE + "/layers"):
        for name in names:
            path = os.path.join(top, name)
            if "/data/" in path:
                with open(path, "rb") as f:
                    seen["data/" + name] = f.read()
    return seen == FILES


def check_round(r):
    """What is wrong after a pull that was killed; and whether the image is there."""
    v = image("verify")
    if v.returncode != 0:
        return "verify: " + v.stdout + v.stderr, False
    there = REFERENCE in image("ls").stdout
    if there and not is_whole():
        return "the image is listed and not whole", there
    if image("inspect", REFERENCE).returncode == 0 and not there:
        return "inspect shows what ls does not", there
    twice = set(r.fetched) & r.before
    return "layers %s were there and were fetched again" % twice if twice else None, there


lab = tempfile.mkdtemp(prefix="ecs-image-kill-")
STORE = lab + "/store"
server = Server(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
REFERENCE = "127.0.0.1:%d/lab/web:1" % server.server_address[1]
COMMAND = [IMAGE, "--store", STORE, "--quiet", "--platform", "linux/amd64", "--plain-http", "pull", REFERENCE]


def start_over():
    image("rm", REFERENCE)
    image("prune")


problems, killed, early, resumed = [], 0, 0, 0
server.round = Round(None, 0)
if server.round.run() != 0:
    problems.append("the first pull: " + server.round.said)
tail = time.monotonic() - server.round.last  # from the last byte that was sent to the end
start_over()
for n in range(ROUNDS):
    late = n % 3 == 2  # after the last byte: while layers and the image are put into the store
    before = list_kept()
    left = TOTAL - sum(x["size"] for x in layers if x["digest"] in before)
    r = server.round = Round(left if late else rand.randrange(left + 1), rand.uniform(0, 1.2 * tail) if late else 0)
    r.before = before
    code = r.run()
    killed += code == -signal.SIGKILL
    early += code == -signal.SIGKILL and not late
    resumed += bool(before)
    problem, there = check_round(r)
    if problem or code not in (0, -signal.SIGKILL) or (code == 0 and not there):
        problems.append("round %d, killed after %d of %d bytes and %.3f s, status %d: %s %s" % (
            n, r.kill_at, left, r.delay, code, problem, r.said))
    if there or n % 6 == 5:  # several kills on top of each other, then from nothing
        start_over()
    if len(problems) > 5:
        break

before = list_kept()
r = server.round = Round(None, 0)
r.before = before
final = r.run() == 0 and is_whole() and image("verify").returncode == 0 and not set(r.fetched) & before
# Half-written records are another process's, perhaps, for ten minutes.
for d in ("layers", "refs", "images/sha256"):
    for name in os.listdir(STORE + "/" + d):
        if ".json.tmp-" in name or ".config.tmp-" in name or ".outline.tmp-" in name:
            os.utime(STORE + "/" + d + "/" + name, (1, 1))
start_over()
rest = [x for d in ("layers", "tmp", "refs", "images/sha256") for x in os.listdir(STORE + "/" + d)]

checks = [
    (not problems, "after each kill the store verifies and shows the image whole or not at all"),
    (killed > 0 and early > 0 and resumed > 0, "pulls were killed, and some went on from what others left"),
    (final, "the next pull completes it, without what was there"),
    (not rest, "what killed pulls left is collected"),
]
print("1..%d" % len(checks))
print("# seed %d, %d rounds, %d killed, %d of them while layers came, %d found some there" % (
    SEED, ROUNDS, killed, early, resumed))
for i, (good, what) in enumerate(checks, 1):
    print("%s %d - %s" % ("ok" if good else "not ok", i, what))
for text in problems + (["left: %s" % rest] if rest else []):
    print("# " + text.strip().replace("\n", "\n# "))
shutil.rmtree(lab)
