#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pulls through a proxy: HTTP_PROXY, HTTPS_PROXY (CONNECT) and NO_PROXY, with a login in the proxy's address.
The registry's login stays inside the tunnel, the proxy's ends at the proxy. The registry has an address that
is not this machine's loopback, in a network namespace of the test's own. Prints TAP; needs root."""
import base64, gzip, hashlib, http.server, io, json, os, shutil, socket, ssl, subprocess, sys, tarfile, tempfile
import threading

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
for program in ("openssl", "ip", "unshare"):
    if not shutil.which(program):
        print("1..0 # SKIP needs " + program)
        sys.exit(77)
if not os.environ.get("IMAGE_PROXY_INSIDE"):
    os.environ["IMAGE_PROXY_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__)])
ADDRESS = "192.0.2.1"
for args in ("link set lo up", "addr add %s/32 dev lo" % ADDRESS):
    subprocess.run(["ip", *args.split()], check=True)
IMAGE = os.path.join(os.environ.get("abs_top_builddir", "."), "ecs-image")
OCI = "application/vnd.oci.image."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w") as t:
    info = tarfile.TarInfo("file")
    info.size = 200000
    t.addfile(info, io.BytesIO(os.urandom(info.size)))
PLAIN = out.getvalue()
BLOB = gzip.compress(PLAIN, 1)
CONFIG = json.dumps({"os": "linux", "architecture": "amd64", "config": {},
                     "rootfs": {"type": "layers", "diff_ids": [digest(PLAIN)]}}).encode()
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
    "config": {"mediaType": OCI + "config.v1+json", "digest": digest(CONFIG), "size": len(CONFIG)},
    "layers": [{"mediaType": OCI + "layer.v1.tar+gzip", "digest": digest(BLOB), "size": len(BLOB)}]}).encode()
BODIES = {"1": MANIFEST, digest(MANIFEST): MANIFEST, digest(CONFIG): CONFIG, digest(BLOB): BLOB}
REGISTRY_LOGIN, PROXY_LOGIN = basic("puller:s3cret"), basic("via:pr0xy@word")

lab = tempfile.mkdtemp(prefix="ecs-image-proxy-")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", "/CN=registry.example", "-addext",
                "subjectAltName=DNS:registry.example,IP:" + ADDRESS, "-keyout", lab + "/key", "-out", lab + "/crt"],
               check=True, stderr=subprocess.DEVNULL)


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


class Registry(Quiet):
    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        body, status, more = BODIES.get(self.path.split("/")[-1], b""), 200, {}
        if self.headers.get("Authorization") != REGISTRY_LOGIN:
            body, status, more = b"", 401, {"WWW-Authenticate": 'Basic realm="lab"'}
        elif "/manifests/" in self.path:
            more = {"Content-Type": OCI + "manifest.v1+json", "Docker-Content-Digest": digest(body)}
        self.send_response(status)
        for k, v in more.items():
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET


class Proxy(Quiet):
    """Knows where registry.example is, and who may ask."""
    def allowed(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.headers.get("Proxy-Authorization") == PROXY_LOGIN:
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def reach(self, host):
        name, _, port = host.partition(":")
        return socket.create_connection((ADDRESS if name == "registry.example" else name, int(port or 80)))

    def do_CONNECT(self):
        if not self.allowed():
            return
        peer = self.reach(self.path)
        self.send_response(200)
        self.end_headers()
        back = threading.Thread(target=self.pump, args=(peer, self.connection), daemon=True)
        back.start()
        self.pump(self.connection, peer)
        self.close_connection = True

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def do_GET(self):
        if not self.allowed():
            return
        host, _, path = self.path[len("http://"):].partition("/")
        peer = self.reach(host)
        lines = ["%s /%s HTTP/1.1" % (self.command, path), "Connection: close"]
        lines += ["%s: %s" % (k, v) for k, v in self.headers.items() if not k.lower().startswith(("proxy-", "conn"))]
        peer.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.pump(peer, self.connection)
        self.close_connection = True

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass


def serve(handler, tls=False):
    s = Server((ADDRESS, 0), handler)
    s.seen = []
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(lab + "/crt", lab + "/key")
        s.socket = context.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


class Pull:
    def __init__(self, registry, proxy, host, *options, **environment):
        registry.seen.clear()
        proxy.seen.clear()
        name = "%s:%d" % (host, registry.server_address[1])
        store, certs = tempfile.mkdtemp(dir=lab), tempfile.mkdtemp(dir=lab)
        os.mkdir("%s/%s" % (certs, name))
        shutil.copy(lab + "/crt", "%s/%s/ca.crt" % (certs, name))
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        r = subprocess.run([IMAGE, "--store", store, "--json", "--platform", "linux/amd64", "--certs-dir", certs,
                            "--username", "puller", "--password-stdin", *options, "pull", name + "/a/b:1"],
                           env={**clean, **environment}, input="s3cret", capture_output=True, text=True, timeout=240)
        self.said, self.code = r.stdout + r.stderr, r.returncode
        self.origin, self.proxy = list(registry.seen), list(proxy.seen)


def without(headers, name):
    return all(k.lower() != name for k in headers)


plain, secure, proxy = serve(Registry), serve(Registry, True), serve(Proxy)
at = "%s:%d" % proxy.server_address
login = "http://via:pr0xy%40word@" + at
results = []


def check(what, p, good):
    results.append(good)
    print("%s %d - %s" % ("ok" if good else "not ok", len(results), what))
    if not good:
        print("# code %d: %s\n# proxy: %s\n# registry: %s" % (p.code, p.said.strip(), p.proxy, p.origin))


p = Pull(secure, proxy, "registry.example", HTTPS_PROXY=login)
check("a registry is reached through the tunnel of a proxy, which resolves its name", p,
      p.code == 0 and p.proxy and all(c == "CONNECT" and path == "registry.example:%d" % secure.server_address[1]
                                      for c, path, _ in p.proxy))
check("the registry's login stays inside the tunnel", p,
      p.proxy and all(without(h, "authorization") for _, _, h in p.proxy) and
      any(h.get("Authorization") == REGISTRY_LOGIN for h in p.origin))
check("and the proxy's ends at the proxy", p,
      p.origin and all(without(h, "proxy-authorization") for h in p.origin) and "pr0xy" not in p.said)
p = Pull(plain, proxy, "registry.example", "--plain-http", HTTP_PROXY=login)
check("without TLS it is asked in the registry's place", p,
      p.code == 0 and p.proxy and all(path.startswith("http://registry.example:") for _, path, _ in p.proxy) and
      all(without(h, "proxy-authorization") for h in p.origin))
p = Pull(secure, proxy, ADDRESS, HTTPS_PROXY=login)
check("an address goes through the proxy, too", p, p.code == 0 and len(p.proxy) > 0)
p = Pull(secure, proxy, ADDRESS, HTTPS_PROXY=login, NO_PROXY="example.org," + ADDRESS)
check("but for what NO_PROXY names", p, p.code == 0 and not p.proxy)
p = Pull(secure, proxy, ADDRESS, HTTP_PROXY=login)
check("HTTP_PROXY is not for TLS", p, p.code == 0 and not p.proxy)
p = Pull(secure, proxy, "registry.example", HTTPS_PROXY="http://via:wr0ng@" + at)
check("a proxy that refuses its login is named, the password is not", p,
      p.code == 1 and "407" in p.said and "wr0ng" not in p.said and len(p.proxy) == 1 and not p.origin)
print("1..%d" % len(results))
shutil.rmtree(lab)
sys.exit(not all(results))
