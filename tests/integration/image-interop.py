#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A Debian root of more than ten layers, put together of the packages of this host, with whiteouts,
# opaque directories, hard links, attributes, a sparse file and a layer that reaches through a link:
# pushed to docker-registry (gzip, zstd), pulled, mounted as the agent does it and compared with what
# umoci unpacks, entry by entry. Prints TAP; needs root.
import hashlib, os, shutil, socket, stat, subprocess, sys, tarfile, tempfile, time

PACKAGES = ["base-files", "base-passwd", "bash", "coreutils", "dpkg", "findutils", "gzip", "login", "passwd",
            "perl-base", "sed", "tar", "util-linux"]
CONTENT_MAX = 40 << 20  # of all packages: the test is bounded in time


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


if os.geteuid() != 0:
    skip("not root")
for tool in ("docker-registry", "skopeo", "umoci", "dpkg", "unshare"):
    if not shutil.which(tool):
        skip(tool + " is not installed")
if len(sys.argv) < 2:
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", "--", sys.executable, __file__, "inside"])
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
lab = tempfile.mkdtemp(prefix="ecs-image-interop-")
os.chdir(lab)
server = None
count = failed = 0


def ok(what, good, lines=()):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    for line in [] if good else list(lines)[:20]:
        print("#", line)


def sh(*argv):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode:
        raise RuntimeError("%s: %s" % (argv[0], r.stdout.decode(errors="replace")[-500:]))
    return r.stdout.decode(errors="replace")


def add_layer(path):
    sh("umoci", "raw", "add-layer", "--image", "oci:t", path)


def package_layer(package, left):
    """The files of an installed package, with every parent; returns the bytes it has."""
    names, size = set(), 0
    for line in sh("dpkg", "-L", package).splitlines():
        if not line.startswith("/") or line == "/." or line.startswith("/usr/share/doc"):
            continue
        path = os.path.join(os.path.realpath(os.path.dirname(line)), os.path.basename(line))
        if not os.path.lexists(path):
            continue
        st = os.lstat(path)
        size += st.st_size if stat.S_ISREG(st.st_mode) else 0
        if size > left:
            break
        while path != "/":
            names.add(path)
            path = os.path.dirname(path)
    with tarfile.open("layer.tar", "w", format=tarfile.PAX_FORMAT) as t:
        for name in sorted(names):
            t.add(name, arcname=name[1:], recursive=False)
    add_layer("layer.tar")
    return size


def hand_layer(*members):
    with tarfile.open("layer.tar", "w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, fields in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755, 1000000000
            content = fields.pop("content", None)
            for k, v in fields.items():
                setattr(info, k, v)
            if content:
                with open("content", "wb") as f:
                    f.write(content)
                info.size = len(content)
            t.addfile(info, open("content", "rb") if content else None)
    add_layer("layer.tar")


def make_image():
    REG, SYM, LNK, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
    sh("umoci", "init", "--layout", "oci")
    sh("umoci", "new", "--image", "oci:t")
    left = CONTENT_MAX
    for package in PACKAGES:
        left -= package_layer(package, left)
    hand_layer(("bin", SYM, {"linkname": "usr/bin"}), ("bin/through", REG, {"content": b"by a link"}),
               ("usr/bin/via", REG, {"content": b"by its name"}),
               ("srv/d/one", REG, {"content": b"1"}), ("srv/d/two", REG, {"content": b"2"}),
               ("srv/keep", REG, {"content": b"k", "mode": 0o4755}), ("srv/hard", LNK, {"linkname": "srv/keep"}),
               ("srv/noted", REG, {"content": b"n", "pax_headers": {"SCHILY.xattr.user.note": "kept"}}),
               ("srv/holes", REG, {"content": b"\0" * 3000000 + b"end"}),
               ("srv/fifo", tarfile.FIFOTYPE, {}), ("srv/null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
               ("srv/owned", DIR, {"uid": 1234, "gid": 4321, "mode": 0o2750}), ("srv/" + "n" * 200, REG, {}))
    hand_layer(("srv", DIR, {}), ("srv/d", DIR, {}), ("srv/d/.wh..wh..opq", REG, {}), ("srv/d/three", REG, {"content": b"3"}),
               ("srv/.wh.fifo", REG, {}))
    hand_layer(("usr", DIR, {}), ("usr/bin", DIR, {}), ("usr/bin/.wh.tar", REG, {}), ("srv", DIR, {}),
               ("srv/d", REG, {"content": b"a file now"}), ("srv/fifo", REG, {"content": b"a file now"}))
    sh("umoci", "unpack", "--image", "oci:t", "expected")


def describe(top):
    """path -> all that an application can see of it."""
    seen, links = {}, {}
    for where, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            what = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev]
            if not stat.S_ISDIR(st.st_mode):
                what += [st.st_size, st.st_nlink, st.st_mtime_ns // 1000000000]
                links.setdefault(st.st_ino, []).append(path[len(top):])
            if stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what.append(hashlib.sha256(f.read()).hexdigest())
            what.append(sorted((k, os.getxattr(path, k, follow_symlinks=False))
                               for k in os.listxattr(path, follow_symlinks=False)
                               if not k.startswith(("trusted.overlay.", "security.selinux"))))
            seen[path[len(top):]] = what
    for paths in links.values():
        for p in paths:
            seen[p].append(sorted(paths))
    return seen


def compare(store, ref):
    """What differs between the mounted layers and umoci's tree."""
    import json
    layers = json.loads(sh(image, "--store", store, "--json", "inspect", ref))["layers"]
    for d in ("merged", "up", "work"):
        os.makedirs(d, exist_ok=True)
    sh("mount", "-t", "overlay", "overlay", "-o",
       "lowerdir=%s,upperdir=up,workdir=work" % ":".join(reversed(layers)), "merged")
    try:
        got, wanted = describe("merged"), describe("expected/rootfs")
    finally:
        sh("umount", "merged")
    return len(layers), len(got), ["%s: wanted %s, got %s" % (p, wanted.get(p), got.get(p))
                                   for p in sorted(set(got) | set(wanted)) if got.get(p) != wanted.get(p)]


def start_registry():
    global server
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open("registry.yml", "w") as f:
        f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                "storage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: \"127.0.0.1:%d\"}\n" % (lab, port))
    server = subprocess.Popen(["docker-registry", "serve", "registry.yml"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return port
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("no registry came up")


def run():
    make_image()
    port = start_registry()
    print("1..4")
    for form in ("gzip", "zstd"):
        ref = "127.0.0.1:%d/debian:%s" % (port, form)
        sh("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--dest-compress-format", form,
           "oci:oci:t", "docker://" + ref)
        sh(image, "--store", lab + "/" + form, "pull", ref)
        n, entries, differences = compare(lab + "/" + form, ref)
        print("# %s: %d layers, %d entries" % (form, n, entries))
        ok("a Debian root in %s is what umoci unpacks" % form, n >= 10 and entries > 500 and not differences, differences)
    out = sh(image, "--store", lab + "/gzip", "--json", "verify")
    ok("every layer verifies", '"unverifiable":0' in out and '"damaged":[]' in out, [out])
    sh(image, "--store", lab + "/gzip", "--output", "saved.tar", "save", ref.replace("zstd", "gzip"))
    sh(image, "--store", lab + "/again", "--name", "debian:again", "load", "saved.tar")
    n, entries, differences = compare(lab + "/again", "debian:again")
    ok("saved and loaded again it is the same", not differences, differences)


try:
    run()
except RuntimeError as e:
    print("Bail out! %s" % e)
    failed += 1
finally:
    if server:
        server.terminate()
        server.wait()
    os.chdir("/")
    shutil.rmtree(lab)
sys.exit(failed > 0)
