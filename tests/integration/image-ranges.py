#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Large layers from registries that give each connection little: they come in several ranges at a time, each
byte once, within a bounded window of memory; and whole where a registry does not do ranges, or does them
wrongly. Each case has a registry and a store of its own and all run side by side. Prints TAP; needs root."""
import concurrent.futures, hashlib, http.server, io, json, os, re, shutil, socket, struct, subprocess
import sys, tarfile, tempfile, threading, time

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
IMAGE = os.path.join(os.environ.get("abs_top_builddir", "."), "ecs-image")
OCI = "application/vnd.oci.image."
MIB = 1 << 20
PART = 4 * MIB  # what the puller asks for at a time
with open(IMAGE, "rb") as f:
    PEAK = (1024 if b"__asan_init" in f.read() else 64) * MIB  # a sanitizer keeps what was freed
RATE = 2 * MIB  # bytes a second that a connection gets


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Picture:
    """An image of one layer."""
    def __init__(self, size):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as t:
            info = tarfile.TarInfo("file")
            info.size = size
            self.content = os.urandom(size)
            t.addfile(info, io.BytesIO(self.content))
        self.blob = out.getvalue()
        self.config = json.dumps({"os": "linux", "architecture": "amd64", "config": {},
                                  "rootfs": {"type": "layers", "diff_ids": [digest(self.blob)]}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", "digest": digest(self.config), "size": len(self.config)},
            "layers": [{"mediaType": OCI + "layer.v1.tar", "digest": digest(self.blob),
                        "size": len(self.blob)}]}).encode()


LARGE, HUGE, SMALL = Picture(17 * MIB), Picture(27 * MIB), Picture(9 * MIB)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def head(self, status, length=0, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def trickle(self, data, rate, limit=None):
        """What one connection gets; limit: then it is reset."""
        c, begin, sent = self.case, time.monotonic(), 0
        for at in range(0, len(data), 65536):
            if limit is not None and at >= limit:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return self.connection.close()
            self.wfile.write(data[at:at + 65536])
            sent += min(65536, len(data) - at)
            with c.lock:
                c.sent += min(65536, len(data) - at)
            time.sleep(max(0, begin + sent / rate - time.monotonic()))

    def part(self, limit=None, start=None):
        """The range that was asked for."""
        blob = self.case.picture.blob
        self.head(206, self.end - self.start, Content_Range="bytes %d-%d/%d" % (
            self.start if start is None else start, self.end - 1, len(blob)))
        self.trickle(blob[self.start:self.end], self.case.rate, limit)

    def whole(self):
        self.head(200, len(self.case.picture.blob))
        self.trickle(self.case.picture.blob, 16 * self.case.rate)

    def layer(self):
        c = self.case
        m = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range") or "")
        self.ranged = bool(m)
        self.start = int(m[1]) if m else 0
        self.end = int(m[2]) + 1 if m and m[2] else len(c.picture.blob)
        with c.lock:
            c.asked.append((self.start, self.end))
            c.busy += 1
            c.busiest = max(c.busiest, c.busy)
            n = len(c.asked)
        try:
            if c.fault(self, n) is not True:
                self.part() if self.ranged else self.whole()
        finally:
            with c.lock:
                c.busy -= 1
                c.ended.append((self.start, self.end))

    def do_GET(self):
        c = self.case = self.server.case
        what, name = self.path.split("?")[0].split("/")[-2:]
        try:
            if what in ("blobs", "signed") and name == digest(c.picture.blob):
                return self.layer()
            body = c.picture.manifest if what == "manifests" else c.picture.config
            self.head(200, len(body), **({"Content_Type": OCI + "manifest.v1+json",
                                          "Docker_Content_Digest": digest(body)} if what == "manifests" else {}))
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass


lab = tempfile.mkdtemp(prefix="ecs-image-ranges-")


class Case:
    """One pull from one registry. fault() answers for the layer in the registry's place and returns True."""
    def __init__(self, what, fault, check, picture=LARGE, rate=RATE):
        self.what, self.fault, self.check, self.picture, self.rate = what, fault, check, picture, rate
        self.lock, self.asked, self.ended, self.sent = threading.Lock(), [], [], 0
        self.busy = self.busiest = 0
        self.notes = {}
        server = Server(("127.0.0.1", 0), Answer)
        server.case = self
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.store = tempfile.mkdtemp(dir=lab)

    def run(self):
        begin = time.monotonic()
        self.child = subprocess.Popen([IMAGE, "--store", self.store, "--json", "--platform", "linux/amd64", "pull",
                              "127.0.0.1:%d/a/b:1" % self.port], stdout=open(self.store + "/said", "w"))
        self.code = self.child.wait(240)
        self.took = time.monotonic() - begin
        with open(self.store + "/said") as f:
            self.lines = [json.loads(line) for line in f]
        self.retries = [x["message"] for x in self.lines if x["event"] == "retry"]
        return self

    def first(self, what):
        with self.lock:
            self.notes[what] = self.notes.get(what, 0) + 1
            return self.notes[what] == 1

    def good(self):
        """The image is there and is what it should be, and the case's own condition holds."""
        for d in os.listdir(self.store + "/layers"):
            if os.path.isdir(self.store + "/layers/" + d):
                with open(self.store + "/layers/" + d + "/file", "rb") as f:
                    return self.code == 0 and f.read() == self.picture.content and self.check(self)
        return False

    def each_once(self):
        """The requests cover the layer without a gap, and each byte was sent once."""
        at = 0
        for start, end in sorted(self.asked):
            if start != at:
                return False
            at = end
        return at == len(self.picture.blob) == self.sent


def nothing(p, n):
    return False


def without_ranges(p, n):
    p.whole()
    return True


def only_plain(status):
    def fault(p, n):
        if p.ranged:
            p.head(status)
            return True
    return fault


def breaks(p, n):
    if p.start in (2 * PART, 3 * PART):
        p.part(limit=MIB)
        return True


def overloaded(p, n):
    if p.start in (2 * PART, 3 * PART) and p.case.first(p.start):
        p.head(429, Retry_After="1")
        return True


def whole_ahead(p, n):
    if p.start == 3 * PART and p.case.first("ahead"):
        p.whole()
        return True


def denied_ahead(p, n):
    if p.start == 3 * PART and p.case.first("ahead"):
        p.head(404)
        return True


def elsewhere(p, n):
    if p.start == 3 * PART and p.case.first("ahead"):
        p.part(start=p.start + 1)
        return True


def held(p, n):
    """The second part does not come before the four after it have."""
    c = p.case
    if p.start == PART:
        end = time.monotonic() + 60
        while len(c.ended) < 5 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        c.notes["window"] = max(e for _, e in c.asked)
        with open("/proc/%d/status" % c.child.pid) as f:
            c.notes["peak"] = int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) * 1024


def signed(p, n):
    """A redirect; the first address holds for three requests, the others for good."""
    c = p.case
    if "/signed/" not in p.path:
        c.asked.pop()
        c.notes["redirects"] = c.notes.get("redirects", 0) + 1
        p.head(307, Location="http://localhost:%d/signed/%s?n=%d" % (c.port, digest(c.picture.blob),
                                                                      c.notes["redirects"]))
        return True
    if p.path.endswith("?n=1"):
        c.notes["first"] = c.notes.get("first", 0) + 1
        if c.notes["first"] > 3:
            c.asked.remove((p.start, p.end))
            p.head(403)
            return True


cases = [
    Case("a large layer comes in several ranges at a time, each byte once", nothing,
         lambda c: c.each_once() and c.busiest >= 3 and not c.retries),
    Case("a small one in one request", nothing,
         lambda c: c.asked == [(0, len(c.picture.blob))] and not c.retries, SMALL),
    Case("a registry without ranges is asked once", without_ranges, lambda c: len(c.asked) == 1 and not c.retries),
    Case("one that refuses a range is asked for the whole", only_plain(416),
         lambda c: len(c.asked) == 2 and not c.retries),
    Case("or does not know what that is", only_plain(501), lambda c: len(c.asked) == 2 and not c.retries),
    Case("ranges that break go on where they stopped", breaks,
         lambda c: (len(c.retries) == 2 and len(set(c.asked)) == len(c.asked) and
                    len([s for s, _ in c.asked if s % PART]) == 2)),
    Case("too many requests are waited out", overloaded, lambda c: (
        len(c.retries) == 2 and c.sent == len(c.picture.blob) and all("429" in r for r in c.retries))),
    Case("a whole answer in the place of a range ends the ranges, not the pull", whole_ahead, lambda c: not c.retries),
    Case("so does an error that only a range ahead sees", denied_ahead, lambda c: True),
    Case("a range that begins elsewhere is not spliced in, and the layer comes whole", elsewhere, lambda c: (
        len(c.retries) == 1 and "fetched once more from the start" in c.retries[0] and
        c.asked[-1] == (0, len(c.picture.blob)))),
    Case("what comes before its turn stays within a window of memory", held, lambda c: (
        c.each_once() and c.notes["window"] == 6 * PART and c.notes["peak"] < PEAK), HUGE, 4 * RATE),
    Case("a redirect serves all ranges, and is asked for anew when it runs out", signed, lambda c: (
        c.notes["first"] > 3 and 2 <= c.notes["redirects"] < len(c.asked) and c.each_once())),
]
with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
    list(pool.map(Case.run, cases))
print("1..%d" % len(cases))
for i, c in enumerate(cases, 1):
    good = c.good()
    print("%s %d - %s" % ("ok" if good else "not ok", i, c.what))
    if not good:
        print("# code %s, %.1f s, busiest %d, sent %d of %d, %s, %s\n# %s" % (
            c.code, c.took, c.busiest, c.sent, len(c.picture.blob), c.notes, c.lines[-1:], c.asked))
        print("# " + "\n# ".join(c.retries))
print("# the first took %.1f s, a single connection %.1f s at best" % (cases[0].took, len(LARGE.blob) / RATE))
shutil.rmtree(lab)
