#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ecs-image against a registry that does what real ones do on bad days: tokens, redirects to another
origin, too many requests, broken transfers, lies. Prints TAP; needs root."""
import base64, gzip, hashlib, http.server, io, json, os, subprocess, sys, tarfile, tempfile, threading, time
import shutil

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
IMAGE = os.path.join(os.environ.get("abs_top_builddir", "."), "ecs-image")


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(seed):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("file-%d" % seed)
        body = os.urandom(3000000)
        info.size = len(body)
        t.addfile(info, io.BytesIO(body))
    return out.getvalue()


PLAIN = [layer(1), layer(2)]
PACKED = [gzip.compress(p, 1) for p in PLAIN]
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/x"]},
                     "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in PLAIN]}}).encode()
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def describe(data, kind, **more):
    return dict({"mediaType": kind, "digest": digest(data), "size": len(data)}, **more)


MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI,
                       "config": describe(CONFIG, "application/vnd.oci.image.config.v1+json"),
                       "layers": [describe(p, "application/vnd.oci.image.layer.v1.tar+gzip")
                                  for p in PACKED]}).encode()
LIST = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
    describe(MANIFEST, OCI, platform={"os": "linux", "architecture": "arm64"}),
    describe(MANIFEST, OCI, platform={"os": "linux", "architecture": "amd64"})]}).encode()
BLOBS = {digest(b): b for b in PACKED + [CONFIG]}

state = {}
seen = []  # (port, path, authorization)


class Peer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in dict(headers).items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def blob(self, body):
        if state.get("busy", 0) > 0:
            state["busy"] -= 1
            return self.answer(429, b"{}", {"Retry-After": "0"})
        if state.get("break", 0) > 0:
            state["break"] -= 1
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body)))
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            self.wfile.write(body[start:start + 700000])
            self.close_connection = True
            return None
        if state.get("slow"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:700000])
            state["slow"].wait(20)
            self.close_connection = True
            return None
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start and not state.get("no_range"):
            return self.answer(206, body[start:], {
                "Content-Range": "bytes %d-%d/%d" % (start, len(body) - 1, len(body))})
        return self.answer(200, body)

    def do_GET(self):
        port = self.server.server_address[1]
        path = self.path
        auth = self.headers.get("Authorization", "")
        seen.append((port, path, auth))
        if path.startswith("/token"):
            state["token_query"] = path
            if state.get("user") and auth != "Basic " + base64.b64encode(state["user"]).decode():
                return self.answer(401, b'{"details":"incorrect username or password"}')
            return self.answer(200, b'{"token":"T0KEN"}')
        if path.startswith("/cdn/"):
            return self.blob(BLOBS[path[5:]])
        if state.get("bearer") and auth != "Bearer T0KEN":
            return self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}', {
                "WWW-Authenticate": 'Bearer realm="http://127.0.0.1:%d/token",service="lab",'
                                    'scope="repository:a/b:pull"' % OTHER})
        kind, name = path.split("/")[-2:]
        if kind == "manifests":
            body, mime = (LIST, INDEX) if state.get("index") and name in ("1", digest(LIST)) else (MANIFEST, OCI)
            if state.get("schema1"):
                body, mime = b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws"
            if state.get("lie") and self.command == "GET":
                body = body.replace(b"linux", b"linuy") + b" "
            headers = {"Content-Type": mime}
            if not state.get("no_digest"):
                headers["Docker-Content-Digest"] = digest(MANIFEST if state.get("lie") else body)
            return self.answer(200, body, headers)
        if state.get("redirect"):
            return self.answer(307, b"", {"Location": "http://127.0.0.1:%d/cdn/%s" % (OTHER, name)})
        return self.blob(BLOBS[name])

    do_HEAD = do_GET


def serve():
    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s.server_address[1]


PORT, OTHER = serve(), serve()
lab = tempfile.mkdtemp(prefix="ecs-image-peer-")
count = 0


def pull(*options, stdin=None, keep=False, **change):
    state.clear()
    state.update(change)
    seen.clear()
    if not keep:
        shutil.rmtree(lab + "/store", ignore_errors=True)
    r = subprocess.run([IMAGE, "--store", lab + "/store", *options, "pull", "127.0.0.1:%d/a/b:1" % PORT],
                       input=stdin, capture_output=True, text=True, timeout=60)
    return r


def ok(what, good, r=None):
    global count
    count += 1
    print(("ok %d - " if good else "not ok %d - ") % count + what)
    if not good and r:
        print("# %s %s %s" % (r.returncode, r.stdout, r.stderr))


def whole():
    names = []
    for d in os.listdir(lab + "/store/layers"):
        if "." not in d:
            names += os.listdir(lab + "/store/layers/" + d)
    return sorted(names) == ["file-1", "file-2"]


r = pull()
ok("a plain pull works", r.returncode == 0 and whole(), r)
r = pull(keep=True)
ok("what is present costs one HEAD", r.returncode == 0 and len(seen) == 1, r)
r = pull(bearer=True)
ok("an anonymous token is fetched", r.returncode == 0 and whole() and
   "scope=repository%3Aa%2Fb%3Apull" in state["token_query"] and "service=lab" in state["token_query"], r)
r = pull("--username", "joe", "--password-stdin", stdin="s3cret\n", bearer=True, user=b"joe:s3cret")
ok("a token is fetched with a password", r.returncode == 0 and whole(), r)
ok("the password went to the token service alone",
   all(a == "" or p == OTHER for p, _, a in seen if not a.startswith("Bearer")))
r = pull("--username", "joe", "--password-stdin", "--json", stdin="wrong\n", bearer=True, user=b"joe:s3cret")
ok("a wrong password is an auth failure", r.returncode == 1 and '"kind":"auth"' in r.stdout, r)
r = pull(bearer=True, redirect=True)
ok("blobs are fetched from another origin", r.returncode == 0 and whole(), r)
ok("the token stays behind", all(a == "" for _, p, a in seen if p.startswith("/cdn/")) and
   any(p.startswith("/cdn/") for _, p, _ in seen))
r = pull(busy=3)
ok("too many requests are waited out", r.returncode == 0 and whole(), r)
r = pull(**{"break": 4})
ok("broken transfers go on where they stopped", r.returncode == 0 and whole(), r)
r = pull(**{"break": 4, "no_range": True})
ok("also when the server starts over", r.returncode == 0 and whole(), r)
r = pull("--platform", "linux/amd64", index=True)
ok("an index leads to the platform's manifest", r.returncode == 0 and whole(), r)
ok("its digest is the index's", digest(LIST) in subprocess.run(
    [IMAGE, "--store", lab + "/store", "inspect", "127.0.0.1:%d/a/b:1" % PORT],
    capture_output=True, text=True).stdout)
r = pull("--platform", "linux/s390x", index=True)
ok("a missing platform is named", r.returncode == 1 and "no matching manifest for linux/s390x" in r.stderr, r)
r = pull(no_digest=True)
ok("a registry may leave the digest header out", r.returncode == 0 and whole(), r)
r = pull(lie=True)
ok("a manifest that is not what its digest says is refused", r.returncode == 1 and "refused" in r.stderr, r)
r = pull(schema1=True, no_digest=True)
ok("schema 1 is refused by name", r.returncode == 1 and "schema 1" in r.stderr, r)
r = pull()
r = pull("--behavior", "prefer-cached", keep=True)
ok("prefer-cached asks nobody", r.returncode == 0 and not seen, r)
r = pull("--behavior", "once", keep=True)
ok("nor does once", r.returncode == 0 and not seen, r)
r = pull("--json", keep=True, schema1=True, no_digest=True)
ok("by default the cached image serves", r.returncode == 0 and '"from_cache":true' in r.stdout and
   "schema 1" in r.stdout, r)
r = pull("--behavior", "always", keep=True, schema1=True, no_digest=True)
ok("with always it does not", r.returncode == 1, r)

def cancel():
    """Ends a pull in its middle; how it ended, what it said and what it left."""
    pull()  # so that there is something at hand, which must not be taken instead
    shutil.rmtree(lab + "/store/layers")
    os.mkdir(lab + "/store/layers", 0o700)
    state.clear()
    state["slow"] = threading.Event()
    work = lab + "/store/tmp"
    p = subprocess.Popen([IMAGE, "--store", lab + "/store", "--json", "pull", "127.0.0.1:%d/a/b:1" % PORT],
                         stdout=subprocess.PIPE, text=True)
    for _ in range(3000):
        if any(files for _, _, files in os.walk(work)):
            break
        time.sleep(0.02)
    begun, start = os.listdir(work), time.monotonic()
    p.terminate()
    said = p.communicate(timeout=60)[0]
    state["slow"].set()
    return begun, os.listdir(work), p.returncode, said, time.monotonic() - start


begun, left, code, said, took = cancel()
ok("a cancelled pull says so", code == 1 and '"kind":"cancelled"' in said)
ok("and leaves no work directory", bool(begun) and not left)
ok("at once, though the registry goes on sending", took < 5)
shutil.rmtree(lab)
print("1..%d" % count)
