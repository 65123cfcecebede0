#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Cold pulls of three images from docker-registry on loopback: ecs-image beside podman, skopeo + umoci,
and what the machine can do at all. Prints a Markdown table; never fails on a figure. Called by pull.sh."""
import argparse, concurrent.futures, hashlib, itertools, json, os, shutil, socket, statistics, subprocess, sys, tarfile
import tempfile, threading, time

args = argparse.ArgumentParser()
args.add_argument("--build", required=True)
args.add_argument("--lab", required=True)
args.add_argument("--rounds", type=int, default=3)
args.add_argument("--only", default="", help="a, b, c or storm")
args.add_argument("--tools", default="ecs-image,podman,skopeo+umoci,gzip|tar,inflate,write")
args = args.parse_args()
LAB = args.lab
IMAGES = {"a": ("one layer, 206 MB", 1, 206e6), "b": ("14 layers, 715 MB", 14, 715e6),
          "c": ("60 layers, 132 MB", 60, 132e6)}
STORM, WANTED = 8, 40  # images of 40 MB, and who wants one of them
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


def make_image(key, sizes, files):
    """sizes[i] bytes of files[i] make a layer."""
    layout, n = "%s/oci-%s" % (LAB, key), len(sizes)
    if os.path.exists(layout + "/index.json"):
        return
    shutil.rmtree(layout, ignore_errors=True)
    os.makedirs(layout + "/blobs/sha256")
    os.makedirs(layout + "/plain")
    diff_ids, layers = [], []
    for i in range(n):
        write_layer("%s/plain/%d.tar" % (layout, i), files[i], sizes[i])
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


def make_images(key):
    """One of those above; or those of the storm: a layer that all share, and two of each one's own."""
    if key != "storm":
        _, n, total = IMAGES[key]
        return make_image(key, [total / n] * n, [candidates()] * n)
    own = itertools.islice(candidates(), 2000, None)
    for i in range(STORM):
        make_image("storm%d" % i, [24e6, 8e6, 8e6], [candidates(), own, own])


def push(key, port):
    for name in ["storm%d" % i for i in range(STORM)] if key == "storm" else [key]:
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:%s/oci-%s:t" % (LAB, name),
                        "docker://127.0.0.1:%d/bench/%s:t" % (port, name)], check=True)


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


def remove_cgroups(name):
    for g in CGROUPS:
        for _ in range(100):
            try:
                os.rmdir(g + "/" + name)
                break
            except OSError:
                time.sleep(0.05)


def read_number(path):
    try:
        with open(path) as f:
            return int(f.read())
    except OSError:
        return 0


def anonymous_peak(name, p, written):
    """Most anonymous memory that the group had at once, looked at now and then; and what each process had
    written then, since children that nobody waits for take their figures with them."""
    most = 0
    while os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        try:
            with open("/sys/fs/cgroup/memory/%s/memory.stat" % name) as f:
                most = max(most, sum(int(line.split()[1]) for line in f if line.startswith("rss ")))
            with open("/sys/fs/cgroup/memory/%s/cgroup.procs" % name) as f:
                written.update((pid, bytes_written(pid)) for pid in map(int, f.read().split()))
        except OSError:
            pass
        time.sleep(0.02)
    return most


def bytes_written(pid):
    """By an ended process and the children it waited for: what they made dirty and did not drop again."""
    with open("/proc/%d/io" % pid) as f:
        io = dict(line.strip().split(": ") for line in f)
    return int(io["write_bytes"]) - int(io["cancelled_write_bytes"])


def measure(command):
    """Wall and CPU seconds, peak anonymous bytes and bytes written of a shell command, children and all."""
    name = "ecs-bench-pull-%d" % os.getpid()
    os.sync()
    for g in CGROUPS:
        os.makedirs(g + "/" + name, exist_ok=True)
    begin = time.monotonic()
    p = subprocess.Popen(["bash", "-ec", command], preexec_fn=in_cgroup(name), stdout=subprocess.DEVNULL,
                         stderr=open(LAB + "/err", "w"))
    looks = {}
    peak = anonymous_peak(name, p, looks)
    wall = time.monotonic() - begin
    written = bytes_written(p.pid)
    if written < max(looks.values(), default=0):  # a child's are not among them
        written = sum(looks.values())
    p.wait()
    cpu = read_number("/sys/fs/cgroup/cpuacct/%s/cpuacct.usage" % name) / 1e9
    remove_cgroups(name)
    if p.returncode:
        print("# failed: %s: %s" % (command, open(LAB + "/err").read()[-300:]), file=sys.stderr)
        return None
    return wall, cpu, peak, written


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
            print("| %s | %s | absent | | | | |" % (IMAGES[key][0], LABELS[tool]))
            continue
        wall, cpu, peak, written = (statistics.median(x[i] for x in found[tool]) for i in range(4))
        best = min(x[0] for x in found[tool])
        print("| %s | %s | %.2f s | %.2f s | %.2f s | %.0f MiB | %.0f MB |" % (
            IMAGES[key][0], LABELS[tool], wall, best, cpu, peak / 2**20, written / 1e6), flush=True)


# ---- forty at once ----

def make_bundle():
    """A container that has nothing to do with the pulls: its start is what somebody waits for meanwhile."""
    bundle = LAB + "/bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    os.makedirs(bundle + "/rootfs/bin")
    shutil.copy("/bin/busybox", bundle + "/rootfs/bin/true")
    subprocess.run(["runc", "spec", "-b", bundle], check=True)
    with open(bundle + "/config.json") as f:
        spec = json.load(f)
    spec["process"].update(args=["/bin/true"], terminal=False)
    with open(bundle + "/config.json", "w") as f:
        json.dump(spec, f)
    return bundle


def start_one(bundle):
    begin = time.monotonic()
    subprocess.run(["runc", "run", "-b", bundle, "ecs-bench-pull-%d" % os.getpid()], check=True,
                   stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def descendants(pid):
    parents = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open("/proc/%s/stat" % d) as f:
                    parents.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(d))
            except OSError:
                pass
    found = [pid]
    for p in found:
        found += parents.get(p, [])
    return found


def pss(pids):
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += sum(int(line.split()[1]) << 10 for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def storm_tools(port):
    refs = ["127.0.0.1:%d/bench/storm%d:t" % (port, i % STORM) for i in range(WANTED)]
    ours = "%s/ecs-image --store %s/out/store --quiet --nice 5 pull" % (args.build, LAB)
    podman = "podman --root %s/out/root --runroot %s/out/run --storage-driver overlay" % (LAB, LAB)
    return {"ecs-image, %d processes" % WANTED: (WANTED, ours, refs),
            "ecs-image, four at a time as the agent has it": (4, ours, refs[:STORM]),
            "`podman pull`, %d processes" % WANTED: (WANTED, podman + " pull -q --tls-verify=false", refs)}


def storm(port):
    bundle, name = make_bundle(), "ecs-bench-storm-%d" % os.getpid()
    start_one(bundle)
    idle = [start_one(bundle) for _ in range(20)]
    print("\n| %d pulls of %d images | wall | CPU | PSS of all, peak | a container's start meanwhile, median | longest |"
          "\n|---|---|---|---|---|---|" % (WANTED, STORM))
    print("| none | | | | %.0f ms | %.0f ms |" % (statistics.median(idle) * 1e3, max(idle) * 1e3), flush=True)
    for label, (width, command, refs) in storm_tools(port).items():
        if "podman" in label and ("podman" not in args.tools or not shutil.which("podman")):
            continue
        clear()
        os.makedirs(LAB + "/out")
        for g in CGROUPS:
            os.makedirs(g + "/" + name, exist_ok=True)
        begin, starts, seen = time.monotonic(), [], {"pss": 0}
        p = subprocess.Popen("printf '%%s\\n' %s | xargs -P %d -n 1 %s" % (" ".join(refs), width, command), shell=True,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=in_cgroup(name))
        def watch():
            while not (ended := os.wait4(p.pid, os.WNOHANG))[0]:
                seen["pss"] = max(seen["pss"], pss(descendants(p.pid)))
                time.sleep(0.2)
            p.returncode, seen["wall"] = ended[1], time.monotonic() - begin
        watcher = threading.Thread(target=watch)
        watcher.start()
        while watcher.is_alive():
            starts.append(start_one(bundle))
        watcher.join()
        cpu = read_number("/sys/fs/cgroup/cpuacct/%s/cpuacct.usage" % name) / 1e9
        remove_cgroups(name)
        print("| %s | %.2f s%s | %.2f s | %.0f MiB | %.0f ms | %.0f ms |" % (
            label, seen["wall"], " (failed)" if p.returncode else "", cpu, seen["pss"] / 2**20,
            statistics.median(starts) * 1e3, max(starts) * 1e3), flush=True)


keys = [args.only] if args.only else [*IMAGES, "storm"]
for k in keys:
    make_images(k)
registry, port = start_registry()
try:
    for k in keys:
        push(k, port)
    if keys != ["storm"]:
        print("| image | by | wall, median | wall, best | CPU | anonymous memory, peak | written |\n"
              "|---|---|---|---|---|---|---|")
    for k in keys:
        storm(port) if k == "storm" else run(k, port)
finally:
    registry.terminate()
    registry.wait()
    clear()
