#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ecs-image against a registry on its worst days: resets, stalls, cut and overlong answers, wrong
digests, 429, 5xx, tokens and signed addresses that run out in the middle of a layer. Each case has a
registry and a store of its own and all run side by side, since most of them wait. Prints TAP; needs
root."""
import concurrent.futures, email.utils, gzip, hashlib, http.server, io, json, os, shutil, signal
import socket, struct, subprocess, sys, tarfile, tempfile, threading, time

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
IMAGE = os.path.join(os.environ.get("abs_top_builddir", "."), "ecs-image")
OCI = "application/vnd.oci.image.manifest.v1+json"
CHUNK = 700000


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_layer():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("file")
        info.size = 3000000
        t.addfile(info, io.BytesIO(os.urandom(info.size)))
    return out.getvalue()


PLAIN = make_layer()
BLOB = gzip.compress(PLAIN, 1)
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {},
                     "rootfs": {"type": "layers", "diff_ids": [digest(PLAIN)]}}).encode()
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": OCI,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(CONFIG), "size": len(CONFIG)},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(BLOB),
                "size": len(BLOB)}]}).encode()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self):
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def part(self, limit=None, body=BLOB, then="close"):
        """The rest that was asked for, or only its beginning."""
        at = self.start
        head = {"Content_Range": "bytes %d-%d/%d" % (at, len(body) - 1, len(body))} if at else {}
        rest = body[at:]
        sent = rest if limit is None else rest[:limit]
        self.case.sent += len(sent)
        self.send(206 if at else 200, sent, len(rest), **head)
        if limit is not None:
            if then == "stall":
                self.wfile.flush()
                self.case.over.wait(60)
            if then == "reset":
                return self.reset()
            self.close_connection = True
        return None

    def do_GET(self):
        case = self.server.case
        self.case = case
        path = self.path
        self.start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.auth = self.headers.get("Authorization", "")
        kind, name = path.split("?")[0].split("/")[-2:]
        kind = {"manifests": "manifest", "blobs": "config" if name == digest(CONFIG) else "layer"}.get(kind, kind)
        with case.lock:
            case.count[kind] = case.count.get(kind, 0) + 1
            case.log.append((time.monotonic(), kind, self.start, self.auth, path, self.server.server_address[1]))
            n = case.count[kind]
        try:
            if case.fault(self, kind, n) is True:
                return
            if kind == "manifest":
                self.send(200, MANIFEST, Content_Type=OCI, Docker_Content_Digest=digest(MANIFEST))
            elif kind == "config":
                self.send(200, CONFIG)
            else:
                self.part()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass


lab = tempfile.mkdtemp(prefix="ecs-image-faults-")


class Case:
    """One pull from one registry. fault() answers in the registry's place and returns True."""

    def __init__(self, fault, *options):
        self.fault = lambda peer, kind, n: fault(self, peer, kind, n)
        self.count, self.log, self.sent = {}, [], 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self.ports = [self.serve(), self.serve()]
        self.store = tempfile.mkdtemp(dir=lab)
        self.command = [IMAGE, "--store", self.store, "--json", "--platform", "linux/amd64", *options, "pull",
                        "127.0.0.1:%d/a/b:1" % self.ports[0]]

    def serve(self):
        s = Server(("127.0.0.1", 0), Answer)
        s.case = self
        threading.Thread(target=s.serve_forever, daemon=True).start()
        return s.server_address[1]

    def run(self):
        begin = time.monotonic()
        r = subprocess.run(self.command, capture_output=True, text=True, timeout=300)
        self.over.set()
        self.took, self.code = time.monotonic() - begin, r.returncode
        self.lines = [json.loads(line) for line in r.stdout.splitlines()]
        self.retries = [line["message"] for line in self.lines if line["event"] == "retry"]
        self.last = self.lines[-1] if self.lines else {"stderr": r.stderr}
        return self

    def whole(self):
        """The pull succeeded and what it left is the image."""
        for d in os.listdir(self.store + "/layers"):
            if os.path.isdir(self.store + "/layers/" + d):
                with open(self.store + "/layers/" + d + "/file", "rb") as f:
                    return self.code == 0 and f.read() == PLAIN[512:512 + 3000000]
        return False

    def refused(self, kind, *words):
        return (self.code == 1 and self.last.get("kind") == kind and
                all(w in self.last.get("message", "") for w in words) and not os.listdir(self.store + "/layers"))

    def requests(self, kind):
        return [e for e in self.log if e[1] == kind]

    def starts(self):
        return [e[2] for e in self.requests("layer")]


cases = []


def case(what, *options):
    def add(f):
        # The generator's first part sets the fault, the second looks at the outcome.
        fault, check = f()
        cases.append((what, Case(fault, *options), check))
        return f
    return add


def json_error(code, message):
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@case("a connection that is reset before it answers is tried again")
def _():
    def fault(c, p, kind, n):
        if kind in ("manifest", "config") and n <= 2:
            p.reset()
            return True
    return fault, lambda c: c.whole() and any("attempt 1 of 5, next try in 1." in r for r in c.retries)


@case("a layer that is reset again and again goes on where it stopped, and no byte comes twice")
def _():
    def fault(c, p, kind, n):
        if kind == "layer" and n <= 8:
            p.part(300000, then="reset")
            return True
    # What a reset throws away of what was on its way cannot be kept; what arrived is not asked for again.
    return fault, lambda c: (c.whole() and len(c.starts()) >= 2 and c.starts() == sorted(set(c.starts())) and
                             c.starts()[-1] > 0)


@case("a layer that is cut goes on where it stopped")
def _():
    def fault(c, p, kind, n):
        if kind == "layer" and n <= 3:
            p.part(CHUNK)
            return True
    return fault, lambda c: (c.whole() and c.starts() == [0, CHUNK, 2 * CHUNK, 3 * CHUNK] and c.sent == len(BLOB) and
                             len(c.retries) == 3 and all("blobs/" + digest(BLOB) in r for r in c.retries))


@case("an answer that is shorter than it should be, and says so, is gone on with")
def _():
    def fault(c, p, kind, n):
        if kind == "layer" and n == 1:
            p.send(200, BLOB[:CHUNK])
            return True
    return fault, lambda c: c.whole() and c.starts() == [0, CHUNK]


@case("one that never gets further is given up after five tries")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(200, b"")
            return True
    return fault, lambda c: (c.refused("pull", "the answer is cut short", "attempt 5 of 5") and
                             c.starts() == [0] * 5 and c.took > 1.1 + 2.2 + 4.4 + 5)


@case("a stalled layer is gone on with over another connection", "--timeout", "1")
def _():
    def fault(c, p, kind, n):
        if kind == "layer" and n == 1:
            p.part(CHUNK, then="stall")
            return True
    return fault, lambda c: c.whole() and c.starts() == [0, CHUNK]


@case("a registry that stalls for good is inactive", "--timeout", "1")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.part(0, then="stall")
            return True
    return fault, lambda c: c.refused("inactive", "attempt 5 of 5") and len(c.starts()) == 5


@case("a layer longer than its manifest says is refused, after one more look")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(200, BLOB + b"x" * 1000)
            return True
    return fault, lambda c: c.refused("pull", "longer than the %d bytes" % len(BLOB)) and c.starts() == [0, 0]


@case("a layer with a wrong digest is refused, after one more look")
def _():
    bad = BLOB[:-100] + bytes(100)
    def fault(c, p, kind, n):
        if kind == "layer":
            p.part(body=bad)
            return True
    return fault, lambda c: (c.code == 1 and ("digest" in c.last["message"] or "damaged" in c.last["message"]) and
                             c.starts() == [0, 0] and not os.listdir(c.store + "/layers"))


@case("a layer that was damaged on the way is fetched anew, and it is said")
def _():
    bad = BLOB[:1000000] + b"\xff" * 1000 + BLOB[1001000:]
    def fault(c, p, kind, n):
        if kind == "layer" and n == 1:
            p.part(body=bad)
            return True
    return fault, lambda c: (c.whole() and c.starts() == [0, 0] and
                             any("fetched once more from the start" in r for r in c.retries))


@case("a range that begins elsewhere is not spliced in")
def _():
    def fault(c, p, kind, n):
        if kind == "layer" and n == 1:
            p.part(CHUNK)
            return True
        if kind == "layer" and n == 2:
            p.send(206, BLOB[5:], Content_Range="bytes 5-%d/%d" % (len(BLOB) - 1, len(BLOB)))
            return True
    return fault, lambda c: c.whole() and c.starts() == [0, CHUNK, 0]


@case("Retry-After is obeyed, in seconds")
def _():
    def fault(c, p, kind, n):
        if kind == "config" and n == 1:
            p.send(429, json_error("TOOMANYREQUESTS", "You have reached your pull rate limit."), Retry_After="4")
            return True
    def check(c):
        r = c.requests("config")
        return (c.whole() and len(r) == 2 and r[1][0] - r[0][0] >= 4 and
                "status 429: toomanyrequests: You have reached your pull rate limit." in c.retries[0] and
                "next try in 4.0 s" in c.retries[0])
    return fault, check


@case("and as a date")
def _():
    def fault(c, p, kind, n):
        if kind == "config" and n == 1:
            p.send(503, b"", Retry_After=email.utils.formatdate(time.time() + 6, usegmt=True))
            return True
    def check(c):
        r = c.requests("config")
        return c.whole() and len(r) == 2 and r[1][0] - r[0][0] >= 4  # dates have whole seconds
    return fault, check


@case("5xx is tried again with growing delays")
def _():
    def fault(c, p, kind, n):
        if kind == "config" and n <= 3:
            p.send((500, 502, 504)[n - 1], b"<html>bad gateway</html>")
            return True
    def check(c):
        at = [e[0] for e in c.requests("config")]
        return (c.whole() and len(at) == 4 and at[1] - at[0] >= 1.1 and at[2] - at[1] >= 2.2 and
                at[3] - at[2] >= 4.4 and "status 502: no reason given; attempt 2 of 5" in c.retries[1])
    return fault, check


@case("five times in all; the last error names registry, status, reason and attempt")
def _():
    def fault(c, p, kind, n):
        if kind == "manifest":
            p.send(503, json_error("UNAVAILABLE", "service\nis down"))
            return True
    return fault, lambda c: (len(c.log) == 5 and len(c.retries) == 4 and
                             c.refused("manifest", "127.0.0.1:%d" % c.ports[0], "503", "attempt 5 of 5"))


@case("what the registry forbids is not tried again")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(403, json_error("DENIED", "no scope for you"))
            return True
    return fault, lambda c: c.refused("auth", "denied: no scope for you") and len(c.starts()) == 1 and not c.retries


@case("nor what it does not have")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(404, json_error("BLOB_UNKNOWN", "blob unknown to registry"))
            return True
    return fault, lambda c: c.refused("pull", "blob unknown") and len(c.starts()) == 1 and not c.retries


def needs_token(c, p, valid):
    if p.auth == "Bearer " + valid:
        return False
    p.send(401, json_error("UNAUTHORIZED", "token expired"), WWW_Authenticate=(
        'Bearer realm="http://127.0.0.1:%d/token/get",service="lab"' % c.ports[1]))
    return True


@case("a token that runs out in the middle of a layer is replaced, and the layer goes on")
def _():
    def fault(c, p, kind, n):
        if kind == "token" or p.path.startswith("/token"):
            p.send(200, json.dumps({"token": "T%d" % c.count["token"], "expires_in": 60}).encode())
            return True
        if kind == "layer" and n == 1 and not needs_token(c, p, "T1"):
            p.part(CHUNK)
            return True
        return needs_token(c, p, "T2" if kind == "layer" else "T1")
    return fault, lambda c: (c.whole() and c.count["token"] == 2 and c.starts() == [0, CHUNK, CHUNK])


@case("also when it happens over and over")
def _():
    def fault(c, p, kind, n):
        if p.path.startswith("/token"):
            p.send(200, json.dumps({"access_token": "T%d" % c.count["token"]}).encode())
            return True
        if needs_token(c, p, "T%d" % (1 + p.start // CHUNK)):
            return True
        if kind == "layer" and p.start < 4 * CHUNK:
            p.part(CHUNK)
            return True
    return fault, lambda c: c.whole() and c.count["token"] == 5 and c.starts()[-1] == 4 * CHUNK


@case("a token service that is overloaded is waited for")
def _():
    def fault(c, p, kind, n):
        if p.path.startswith("/token"):
            if c.count["token"] <= 2:
                p.send(503, b"")
            else:
                p.send(200, b'{"token":"T"}')
            return True
        return needs_token(c, p, "T")
    return fault, lambda c: c.whole() and c.count["token"] == 3


@case("a signed address that ran out is asked for anew, and no token goes along")
def _():
    def fault(c, p, kind, n):
        if p.path.startswith("/token"):
            p.send(200, b'{"token":"T"}')
            return True
        if "?sig=" in p.path:
            if p.path.endswith("=%d" % c.count.get("signed", 0)):
                return False if p.start else bool(p.part(CHUNK)) or True
            p.send(403, b"<Error><Code>AccessDenied</Code></Error>")
            return True
        if needs_token(c, p, "T"):
            return True
        if kind == "layer":
            c.count["signed"] = c.count.get("signed", 0) + 1
            # The second address is stale from the start.
            sig = 0 if c.count["signed"] == 2 else c.count["signed"]
            p.send(307, Location="http://127.0.0.1:%d/cdn/%s?sig=%d" % (c.ports[1], p.path.split("/")[-1], sig))
            return True
    return fault, lambda c: (c.whole() and c.count["signed"] == 3 and
                             all(e[3] == "" for e in c.log if "/cdn/" in e[4]) and
                             any("?sig=" in e[4] for e in c.log) and
                             not any("sig=" in r for r in c.retries))


@case("redirects end somewhere")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(307, Location="http://127.0.0.1:%d%s" % (c.ports[1], p.path))
            return True
    return fault, lambda c: c.refused("pull", "too many redirects") and len(c.starts()) == 6


@case("and not at the instance's credentials")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(307, Location="http://169.254.169.254/latest/meta-data/")
            return True
    return fault, lambda c: c.code == 1 and c.last["kind"] == "pull"


@case("nor in a file")
def _():
    def fault(c, p, kind, n):
        if kind == "layer":
            p.send(307, Location="file:///etc/passwd")
            return True
    return fault, lambda c: c.refused("pull", "refusing a redirect") and not c.retries


def through_mirror(what, fault, check):
    """The case's second port is the mirror of its first."""
    c = Case(fault)
    c.command[1:1] = ["--mirrors", "x.example=https://nobody.example,127.0.0.1:%d=http://127.0.0.1:%d/prefix/" %
                      tuple(c.ports)]
    cases.append((what, c, check))


def at_mirror(p):
    return p.server.server_address[1] == p.case.ports[1]


def all_at(c, i):
    return all(port == c.ports[i] for _, _, _, _, _, port in c.log)


through_mirror("a mirror is asked in the registry's place", lambda c, p, kind, n: False,
               lambda c: c.whole() and all_at(c, 1) and all(e[4].startswith("/prefix/v2/a/b/") for e in c.log))


def dead_mirror(c, p, kind, n):
    if at_mirror(p):
        p.send(503, b"")
        return True


through_mirror("one that fails is left at once", dead_mirror,
               lambda c: (c.whole() and sum(e[5] == c.ports[1] for e in c.log) == 1 and
                          "asking the registry instead of its mirror" in c.retries[0] and c.took < 30))


def empty_mirror(c, p, kind, n):
    if at_mirror(p):
        p.send(404, json_error("MANIFEST_UNKNOWN", "not here"))
        return True


through_mirror("so is one that has not got the image", empty_mirror, lambda c: c.whole())


def breaking_mirror(c, p, kind, n):
    if at_mirror(p) and kind == "layer":
        p.part(CHUNK)
        return True


through_mirror("what a mirror began the registry ends", breaking_mirror,
               lambda c: c.whole() and c.starts() == [0, CHUNK] and c.sent == len(BLOB))


def cancelled_while_logging_in():
    """A stop must not wait for a token service."""
    def fault(c, p, kind, n):
        if p.path.startswith("/token"):
            if c.count["token"] == 1:
                p.send(200, b'{"token":"T1"}')
            else:
                c.over.wait(60)
            return True
        return needs_token(c, p, "T2" if kind == "layer" else "T1")
    c = Case(fault)
    p = subprocess.Popen(c.command, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while c.count.get("token", 0) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    p.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    said = p.communicate(timeout=50)[0]
    c.over.set()
    return '"kind":"cancelled"' in said and time.monotonic() - begin < 20 and not os.listdir(c.store + "/tmp")


def descendants(pid):
    """It and all that it started."""
    parents = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open("/proc/%s/stat" % d) as f:
                    parents[int(d)] = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = [pid]
    for p in found:
        found += [child for child, parent in parents.items() if parent == p]
    return found


def leaves_the_machine_to_others():
    """With --nice, so do the processes that unpack."""
    def fault(c, p, kind, n):
        if kind == "layer":
            p.part(CHUNK, then="stall")
            return True
    c = Case(fault, "--nice", "5")
    p = subprocess.Popen(c.command, stdout=subprocess.DEVNULL)
    end, family, looks = time.monotonic() + 60, [], []
    while len(family) < 4 and time.monotonic() < end:  # itself, the unpacker, its two children
        time.sleep(0.02)
        family = descendants(p.pid)
    for pid in family:
        io = subprocess.run(["ionice", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
        looks.append((os.getpriority(os.PRIO_PROCESS, pid), io))
    p.terminate()
    p.wait(60)
    c.over.set()
    return len(family) == 4 and all(x == (5, "best-effort: prio 7") for x in looks)


with concurrent.futures.ThreadPoolExecutor(len(cases) + 2) as pool:
    other = pool.submit(cancelled_while_logging_in)
    quiet = pool.submit(leaves_the_machine_to_others)
    ran = list(pool.map(lambda c: c[1].run(), cases))
print("1..%d" % (len(cases) + 2))
for i, (what, c, check) in enumerate(cases, 1):
    good = check(c)
    print("%s %d - %s" % ("ok" if good else "not ok", i, what))
    if not good:
        print("# code %s, %.1f s, %s, starts %s, retries %s" % (c.code, c.took, c.last, c.starts(), c.retries))
        print("# %s" % [e[1:] for e in c.log])
print("%s %d - a pull that waits for a token ends when it is told to" % (
    "ok" if other.result() else "not ok", len(cases) + 1))
print("%s %d - a pull with --nice leaves processor and disk to others, and so does what unpacks for it" % (
    "ok" if quiet.result() else "not ok", len(cases) + 2))
shutil.rmtree(lab)
