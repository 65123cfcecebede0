#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Cold pulls of three images from docker-registry on loopback: ecs-image beside podman, skopeo + umoci,
and what the machine can do at all. Prints a Markdown table; never fails on a figure. Called by pull.sh."""
import argparse, concurrent.futures, hashlib, json, os, shutil, socket, statistics, subprocess, sys, tarfile
import tempfile, time

args = argparse.ArgumentParser()
args.add_argument("--build", required=True)
args.add_argument("--lab", required=True)
args.add_argument("--rounds", type=int, default=3)
args.add_argument("--only", default="", help="a, b or c")
args.add_argument("--tools", default="ecs-image,podman,skopeo+umoci,gzip|tar,inflate,write")
args = args.parse_args()
LAB = args.lab
IMAGES = {"a": ("one layer, 206 MB", 1, 206e6), "b": ("14 layers, 715 MB", 14, 715e6),
          "c": ("60 layers, 132 MB", 60, 132e6)}
CGROUPS = [d for d in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/memory") if os.path.isdir(d)]


# ---- images out of this machine's own programs, the same in each run ----

def candidates():
    for base, _, names in sorted(os.walk("/usr")):
        for name in sorted(names):
            path = os.path.join(base, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 60e6:
                yield path


def write_layer(path, files, want):
    """A tar of about `want` bytes; its digest."""
    size = 0
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as t:
        while size < want:
            name = next(files)
            if size + os.path.getsize(name) > want * 1.2:
                continue
            t.add(name, arcname=name.lstrip("/"), recursive=False)
            size += os.path.getsize(name)


def put_blob(layout, path):
    with open(path, "rb") as f:
        h = hashlib.file_digest(f, "sha256").hexdigest()
    size = os.path.getsize(path)
    os.rename(path, layout + "/blobs/sha256/" + h)
    return "sha256:" + h, size


def put_json(layout, obj):
    with open(layout + "/tmp", "w") as f:
        json.dump(obj, f)
    return put_blob(layout, layout + "/tmp")


def make_image(key):
    _, n, total = IMAGES[key]
    layout = "%s/oci-%s" % (LAB, key)
    if os.path.exists(layout + "/index.json"):
        return
    shutil.rmtree(layout, ignore_errors=True)
    os.makedirs(layout + "/blobs/sha256")
    os.makedirs(layout + "/plain")
    files, diff_ids, layers = candidates(), [], []
    for i in range(n):
        write_layer("%s/plain/%d.tar" % (layout, i), files, total / n)
    def squeeze(i):
        subprocess.run("gzip -6 -n < %s/plain/%d.tar > %s/gz-%d" % (layout, i, layout, i), shell=True, check=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(squeeze, range(n)))
    for i in range(n):
        with open("%s/plain/%d.tar" % (layout, i), "rb") as f:
            diff_ids.append("sha256:" + hashlib.file_digest(f, "sha256").hexdigest())
        d, size = put_blob(layout, "%s/gz-%d" % (layout, i))
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": d, "size": size})
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    d, size = put_json(layout, {"os": "linux", "architecture": arch, "config": {},
                                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                                "history": [{"created_by": "bench"}] * n})
    d, size = put_json(layout, {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": d,
                                           "size": size}, "layers": layers})
    with open(layout + "/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(layout + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d, "size": size,
            "annotations": {"org.opencontainers.image.ref.name": "t"}}]}, f)


# ---- the registry ----

def start_registry():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(LAB + "/registry.yml", "w") as f:
        f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: "
                "{rootdirectory: %s/data}}\nhttp: {addr: '127.0.0.1:%d'}\n" % (LAB, port))
    p = subprocess.Popen(["docker-registry", "serve", LAB + "/registry.yml"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return p, port
        except OSError:
            time.sleep(0.05)
    sys.exit("no registry came up")


# ---- measuring ----

def in_cgroup(name):
    def enter():
        for g in CGROUPS:
            with open("%s/%s/cgroup.procs" % (g, name), "w") as f:
                f.write("0")
    return enter


def read_number(path):
    try:
        with open(path) as f:
            return int(f.read())
    except OSError:
        return 0


def anonymous_peak(name, p):
    """Most anonymous memory that the group had at once, looked at now and then."""
    most = 0
    while p.poll() is None:
        try:
            with open("/sys/fs/cgroup/memory/%s/memory.stat" % name) as f:
                most = max(most, sum(int(line.split()[1]) for line in f if line.startswith("rss ")))
        except OSError:
            pass
        time.sleep(0.02)
    return most


def measure(command):
    """Wall and CPU seconds and peak anonymous bytes of a shell command, children and all."""
    name = "ecs-bench-pull-%d" % os.getpid()
    os.sync()
    for g in CGROUPS:
        os.makedirs(g + "/" + name, exist_ok=True)
    begin = time.monotonic()
    p = subprocess.Popen(["bash", "-ec", command], preexec_fn=in_cgroup(name), stdout=subprocess.DEVNULL,
                         stderr=open(LAB + "/err", "w"))
    peak = anonymous_peak(name, p)
    wall = time.monotonic() - begin
    cpu = read_number("/sys/fs/cgroup/cpuacct/%s/cpuacct.usage" % name) / 1e9
    for g in CGROUPS:
        for _ in range(100):
            try:
                os.rmdir(g + "/" + name)
                break
            except OSError:
                time.sleep(0.05)
    if p.returncode:
        print("# failed: %s: %s" % (command, open(LAB + "/err").read()[-300:]), file=sys.stderr)
        return None
    return wall, cpu, peak


def tools(key, port):
    ref = "127.0.0.1:%d/bench/%s:t" % (port, key)
    layout = "%s/oci-%s" % (LAB, key)
    manifest = json.load(open(layout + "/index.json"))["manifests"][0]["digest"][7:]
    layers = json.load(open("%s/blobs/sha256/%s" % (layout, manifest)))["layers"]
    blobs = " ".join("%s/blobs/sha256/%s" % (layout, d["digest"][7:]) for d in layers)
    plain = "%s/plain/*.tar" % layout
    podman = "podman --root %s/out/root --runroot %s/out/run --storage-driver overlay" % (LAB, LAB)
    into = "d=$(mktemp -d %s/out/XXXXXX); " % LAB
    return {
        "ecs-image": "%s/ecs-image --store %s/out/store pull %s" % (args.build, LAB, ref),
        "podman": "%s pull -q --tls-verify=false %s" % (podman, ref),
        "skopeo+umoci": "skopeo copy -q --src-tls-verify=false docker://%s oci:%s/out/o:t && "
                        "umoci unpack --image %s/out/o:t %s/out/bundle" % (ref, LAB, LAB, LAB),
        "gzip|tar": "ls %s | xargs -P 2 -I{} bash -c '%s gzip -dc {} | tar -C $d -x'" % (blobs, into),
        "inflate": "ls %s | xargs -P 2 -I{} gzip -dc {} >/dev/null" % blobs,
        "write": "ls %s | xargs -P 2 -I{} bash -c '%s tar -C $d -xf {}'" % (plain, into),
    }


LABELS = {"gzip|tar": "`gzip -dc \\| tar -x`, two at a time", "inflate": "`gzip -dc` alone, two at a time",
          "write": "`tar -x` of what is inflated, two at a time", "skopeo+umoci": "`skopeo copy` + `umoci unpack`",
          "podman": "`podman pull`", "ecs-image": "ecs-image"}


def clear():
    """ext4 avoids inodes that were freed less than five seconds ago, at a price for who creates files."""
    for d in ("/out", "/done"):
        shutil.rmtree(LAB + d, ignore_errors=True)
    os.sync()
    time.sleep(6)


def run(key, port):
    clear()
    commands, found = tools(key, port), {}
    for _ in range(args.rounds):
        for tool in args.tools.split(","):  # in turn, so that the machine's moods hit all alike
            program = tool.split("+")[0]
            if tool in ("podman", "skopeo+umoci") and not shutil.which(program):
                continue
            os.makedirs(LAB + "/out")
            r = measure(commands[tool])
            os.makedirs(LAB + "/done", exist_ok=True)
            os.rename(LAB + "/out", tempfile.mkdtemp(dir=LAB + "/done"))
            if r:
                found.setdefault(tool, []).append(r)
    for tool in args.tools.split(","):
        if tool not in found:
            print("| %s | %s | absent | | | |" % (IMAGES[key][0], LABELS[tool]))
            continue
        wall, cpu, peak = (statistics.median(x[i] for x in found[tool]) for i in range(3))
        best = min(x[0] for x in found[tool])
        print("| %s | %s | %.2f s | %.2f s | %.2f s | %.0f MiB |" % (
            IMAGES[key][0], LABELS[tool], wall, best, cpu, peak / 2**20), flush=True)


keys = [args.only] if args.only else list(IMAGES)
for k in keys:
    make_image(k)
registry, port = start_registry()
try:
    for k in keys:
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:%s/oci-%s:t" % (LAB, k),
                        "docker://127.0.0.1:%d/bench/%s:t" % (port, k)], check=True)
    print("| image | by | wall, median | wall, best | CPU | anonymous memory, peak |\n|---|---|---|---|---|---|")
    for k in keys:
        run(k, port)
finally:
    registry.terminate()
    registry.wait()
    clear()
