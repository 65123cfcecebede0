#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A pull that cannot fit is refused before any layer is asked for, and says what it takes and what is
# there. The registry only claims to have such layers. Prints TAP; needs root.
import hashlib, http.server, json, os, platform, re, shutil, subprocess, sys, tempfile, threading

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
if len(sys.argv) < 2:
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", "--", sys.executable, __file__, "inside"])
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OCI = "application/vnd.oci.image."
documents, asked = {}, []
count = failed = 0


def ok(what, good, out=""):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    if not good:
        print("#", repr(out)[-1500:])


def claim(name, *layers):
    """An image whose layers nobody has: (media type, size)."""
    ids = ["sha256:%064x" % (len(documents) * 1000 + i + 1) for i in range(len(layers))]
    config = json.dumps({"architecture": ARCH, "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    documents[digest] = config
    documents[name] = json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": {
        "mediaType": OCI + "config.v1+json", "digest": digest, "size": len(config)}, "layers": [
            {"mediaType": kind, "digest": d, "size": size} for d, (kind, size) in zip(ids, layers)]}).encode()


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        name = self.path.rsplit("/", 1)[1]
        asked.append(name)
        data = documents.get(name, b"")
        self.send_response(200 if data else 404)
        self.send_header("Content-Type", OCI + "manifest.v1+json" if "/manifests/" in self.path else "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_HEAD = do_GET


claim("plain", (OCI + "layer.v1.tar", 30 << 20), (OCI + "layer.v1.tar", 1 << 20))
claim("gzip", (OCI + "layer.v1.tar+gzip", 40 << 20))
claim("docker", ("application/vnd.docker.image.rootfs.diff.tar.gzip", 40 << 20))
claim("mixed", (OCI + "layer.v1.tar+zstd", 10 << 20), (OCI + "layer.v1.tar", 20 << 20))
claim("many", *[(OCI + "layer.v1.tar+gzip", 100)] * 40)
claim("fits", (OCI + "layer.v1.tar+gzip", 1000))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
lab = tempfile.mkdtemp(prefix="ecs-image-space-")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=150", "tmpfs", lab], check=True)


def pull(name):
    asked.clear()
    r = subprocess.run([image, "--store", lab + "/store", "--json", "pull", "127.0.0.1:%d/lab/x:%s" % (server.server_port, name)],
                       capture_output=True, text=True, timeout=60)
    return r.returncode, json.loads(r.stdout.strip().splitlines()[-1])


def refused(name, sizes):
    status, last = pull(name)
    said = last.get("message", "")
    ok("%s: refused, with sizes" % name, status == 1 and last.get("kind") == "no-space" and
       said.startswith("no space left on device: " + sizes) and
       re.search(r"; \d+ of 25165824 bytes and \d+ of 150 inodes are free in '%s/store'$" % lab, said), last)
    ok("%s: no layer was asked for" % name, not [n for n in asked if n.startswith("sha256:0000")], asked)


print("1..13")
try:
    refused("plain", "2 layers to fetch take 32505856 bytes compressed and 32505856 unpacked")
    refused("gzip", "1 layer to fetch takes 41943040 bytes compressed and about 104857600 unpacked")
    refused("docker", "1 layer to fetch takes 41943040 bytes compressed and about 104857600 unpacked")
    refused("mixed", "2 layers to fetch take 31457280 bytes compressed and about 47185920 unpacked")
    refused("many", "40 layers to fetch take 4000 bytes compressed and about 10000 unpacked")
    status, last = pull("fits")
    ok("what fits is asked for", status == 1 and last.get("kind") == "pull" and
       [n for n in asked if n.startswith("sha256:0000")], (last, asked))
    for what in ("images/sha256", "layers"):
        ok("nothing is left in " + what, not os.listdir(lab + "/store/" + what), os.listdir(lab + "/store/" + what))
finally:
    subprocess.run(["umount", lab])
    os.rmdir(lab)
server.shutdown()
sys.exit(failed > 0)
