#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# What a pull shows: bars on a terminal (a pseudo-terminal here), nothing but the result in a pipe,
# lines of JSON for a program. The registry holds back half of each layer until the bars are seen.
# Prints TAP; needs root.
import fcntl, hashlib, http.server, io, json, os, platform, pty, re, select, shutil, struct, subprocess, sys
import tarfile, tempfile, termios, threading, time

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
LIMIT_S = 60
blobs, go_on = {}, threading.Event()
count = failed = 0


def ok(what, good, out=""):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    if not good:
        print("#", repr(out)[-1500:])


def add(data):
    name = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs[name] = data
    return name


def layer(name, size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = size
        t.addfile(info, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def described(data, kind):
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": add(data), "size": len(data)}


archives = [layer("one", 3000000), layer("two", 1500000)]
config = json.dumps({"architecture": ARCH, "os": "linux", "rootfs": {
    "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(a).hexdigest() for a in archives]}}).encode()
layers = [described(a, "layer.v1.tar") for a in archives]
manifest = json.dumps({"schemaVersion": 2, "config": described(config, "config.v1+json"), "layers": layers}).encode()


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        is_manifest = "/manifests/" in self.path
        data = manifest if is_manifest else blobs[self.path.rsplit("/", 1)[1]]
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json" if is_manifest
                         else "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(data) // 2 if len(data) > 1000000 else 0
        self.wfile.write(data[:half])
        if half:
            self.wfile.flush()
            go_on.wait(LIMIT_S)
        self.wfile.write(data[half:])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
ref = "127.0.0.1:%d/lab/bars:1" % server.server_port
lab = tempfile.mkdtemp(prefix="ecs-image-progress-")
stores = 0


def argv(*more):
    global stores
    stores += 1
    return [image, "--store", "%s/%d" % (lab, stores), *more, "pull", ref]


def on_terminal(rows, columns, term, until):
    """Pulls on a terminal; the registry goes on once it has shown @until. What it showed, and the status."""
    go_on.clear()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    p = subprocess.Popen(argv(), stdin=slave, stdout=slave, stderr=slave, env=dict(os.environ, TERM=term))
    os.close(slave)
    shown, end = "", time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:  # nobody holds the other end any more
                break
            shown += data.decode()
        if until(shown):
            go_on.set()
    go_on.set()
    status = p.wait(LIMIT_S)
    os.close(master)
    return shown, status


def half_of_both(shown):
    return re.search(r"1\.5 MB of +3\.0 MB  fetching", shown) and re.search(r"75\d\.\d kB of +1\.5 MB  fetching", shown)


def screen(shown, columns):
    """What stands on the terminal in the end; None when a line was too long."""
    lines, row = [""], 0
    for piece in re.split(r"(\x1b\[\d*[A-Z]|\r|\n)", shown):
        if not piece or piece == "\r":
            continue
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1])
        elif piece == "\x1b[J":
            lines = lines[:row] + [""]
        else:
            lines[row] = piece
            if " of " in piece and len(piece) >= columns:
                return None
    return [l for l in lines if l]


print("1..10")
shown, status = on_terminal(24, 100, "xterm", half_of_both)
ok("each layer has a line of its own", status == 0 and all(
    re.search(d["digest"][7:19] + r" \[=+>.*\].* of .*fetching", shown) for d in layers), shown)
ok("and all of them one, with a rate", re.search(r"0 of 2 layers \[.*2\.\d MB of +4\.5 MB +\d+ %  [\d.]+ [kM]B/s", shown), shown)
left = screen(shown, 100)
ok("in the end the sum and the name stand there", left and len(left) == 3 and left[0].startswith("Digest: sha256:") and
   re.fullmatch(r"Fetched and unpacked 4\.5 MB in [\d.]+ s \([\d.]+ [kM]B/s\)", left[1]) and left[2] == ref, left)
shown, status = on_terminal(24, 44, "xterm", lambda s: "0 of 2 layers" in s)
ok("a narrow terminal gets shorter lines", status == 0 and screen(shown, 44), shown)
shown, status = on_terminal(3, 100, "xterm", lambda s: "50 %" in s)
ok("a low one the sum alone", status == 0 and "fetching" not in shown and "of 2 layers" in shown, shown)
go_on.set()
shown, status = on_terminal(24, 100, "dumb", lambda s: True)
ok("one that cannot move its cursor no bars", status == 0 and "\x1b" not in shown and ref in shown, shown)

go_on.set()
r = subprocess.run(argv(), capture_output=True, text=True, timeout=LIMIT_S)
ok("a pipe gets the name alone", r.returncode == 0 and r.stdout == ref + "\n" and r.stderr == "", r.stdout + r.stderr)
r = subprocess.run(argv("--quiet"), capture_output=True, text=True, timeout=LIMIT_S)
ok("and when quiet the id", re.fullmatch(r"sha256:[0-9a-f]{64}\n", r.stdout) and r.stderr == "", r.stdout + r.stderr)

go_on.clear()
p = subprocess.Popen(argv("--json"), stdout=subprocess.PIPE, text=True)
lines, seen = [], {}
for line in p.stdout:
    lines.append(json.loads(line))
    for l in lines[-1].get("active", []):
        seen[l["digest"]] = max(seen.get(l["digest"], 0), l["bytes"])
    if all(seen.get(d["digest"], 0) >= d["size"] // 2 for d in layers):
        go_on.set()
progress = [l for l in lines if l["event"] == "progress"]
ok("a program is told of each layer", p.wait(LIMIT_S) == 0 and len(progress) > 1 and
   all(set(l) == {"event", "bytes", "total", "rate", "layersDone", "layers", "active"} for l in progress), lines)
total = sum(d["size"] for d in layers)
last = progress[-1]
ok("up to the end", (last["bytes"], last["total"], last["layersDone"], last["layers"]) == (total, total, 2, 2) and
   lines[-1]["event"] == "done", lines[-3:])
server.shutdown()
shutil.rmtree(lab)
sys.exit(failed > 0)
