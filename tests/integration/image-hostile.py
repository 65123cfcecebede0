#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Hostile images, one for each class of attack: ecs-image refuses each by name, nothing is written
# outside the store, no image and no layer stays, and the store verifies. Prints TAP; needs root.
import bz2, copy, gzip, hashlib, io, json, lzma, os, platform, shutil, subprocess, sys, tarfile, tempfile

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
lab = tempfile.mkdtemp(prefix="ecs-image-hostile-")
canary = lab + "/canary"
open(canary, "w").write("untouched")
cases = []


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(*members):
    """Each: (name, type, fields); content in fields."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, kind, fields in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            content = fields.pop("content", b"")
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            for k, v in fields.items():
                setattr(info, k, v)
            t.addfile(info, io.BytesIO(content) if info.size else None)
    return out.getvalue()


class Layout:
    """A good image of one layer; tests change what they like before write()."""

    def __init__(self, archive=None, blob=None, layer_type=LAYER):
        self.blobs = {}
        self.archive = tar(("file", tarfile.REGTYPE, {"content": b"x"})) if archive is None else archive
        self.blob = self.archive if blob is None else blob
        self.config = {"architecture": ARCH, "os": "linux", "config": {},
                       "rootfs": {"type": "layers", "diff_ids": [digest(self.archive)]}}
        self.layer = {"mediaType": layer_type, "digest": digest(self.blob), "size": len(self.blob)}
        self.manifest = {"schemaVersion": 2, "mediaType": MANIFEST}
        self.manifest_type = MANIFEST
        self.raw_manifest = self.raw_config = None
        self.entry = {}

    def add(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def write(self, path):
        config = self.raw_config or json.dumps(self.config).encode()
        self.blobs.setdefault(digest(config), config)
        self.blobs.setdefault(self.layer["digest"], self.blob)
        m = dict({"config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
                  "layers": [self.layer]}, **self.manifest)
        raw = self.raw_manifest or json.dumps(m).encode()
        self.add(raw)
        entry = dict({"mediaType": self.manifest_type, "digest": digest(raw), "size": len(raw),
                      "annotations": {"io.containerd.image.name": "hostile:1"}}, **self.entry)
        os.makedirs(path + "/blobs/sha256")
        for d, data in self.blobs.items():
            if "/" in d:
                continue
            open(path + "/blobs/sha256/" + d[7:], "wb").write(data)
        json.dump({"schemaVersion": 2, "manifests": [entry]}, open(path + "/index.json", "w"))
        json.dump({"imageLayoutVersion": "1.0.0"}, open(path + "/oci-layout", "w"))


def case(name, layout, complaint):
    cases.append((name, layout, complaint))


def archive(name, complaint, *members):
    case(name, Layout(tar(*members)), complaint)


REG, SYM, LNK, CHR, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE
UP = "../" * 20 + canary[1:]
archive("a name that leads out", "leads out", (UP, REG, {"content": b"evil"}))
archive("a name that leads out in the middle", "leads out", ("a/../../b", REG, {}))
archive("a hard link that leads out", "leads out", ("h", LNK, {"linkname": UP}))
archive("a hard link to a file of the host", "no file of the archive", ("h", LNK, {"linkname": canary}))
archive("a hard link by way of a symbolic link", "no file of the archive",
        ("s", SYM, {"linkname": lab}), ("h", LNK, {"linkname": "s/canary"}))
archive("a whiteout that leads out", "leads out", ("../" * 20 + lab[1:] + "/.wh.canary", REG, {}))
archive("a whiteout of the parent", "a whiteout of nothing", ("a/.wh...", REG, {}))
archive("a device that means a whiteout", "reserved for whiteouts", ("w", CHR, {}))
archive("an attribute of overlayfs", "reserved",
        ("d", DIR, {"pax_headers": {"SCHILY.xattr.trusted.overlay.redirect": "/"}}))
archive("too many attributes", "more than 128",
        ("f", REG, {"pax_headers": {"SCHILY.xattr.user.a%d" % i: "v" for i in range(200)}}))
archive("too large an attribute", "larger than",
        ("f", REG, {"pax_headers": {"SCHILY.xattr.user.a": "v" * 70000}}))
archive("too large an extension header", "larger than",
        ("f", REG, {"pax_headers": {"comment": "v" * (2 << 20)}}))
archive("an owner that overflows to root", "outside 0..4294967294", ("f", REG, {"pax_headers": {"uid": str(1 << 32)}}))
archive("a hard link to a directory", "no file of the archive", ("d", DIR, {}), ("h", LNK, {"linkname": "d"}))
archive("a hard link to a whiteout", "no file of the archive", (".wh.w", REG, {}), ("h", LNK, {"linkname": "w"}))
archive("a hard link to itself", "hard link to itself", ("h", LNK, {"linkname": "./h"}))
archive("symbolic links in a circle", "too many symbolic links",
        ("a", SYM, {"linkname": "b"}), ("b", SYM, {"linkname": "a"}), ("a/f", REG, {}))
archive("a parent that is a file", "not a directory of the archive", ("f", REG, {}), ("f/g", REG, {}))
archive("directories without end that the archive leaves out", "too many directories", ("d/" * 2000 + "f", REG, {}))
archive("a name longer than any", "longer than 255", ("n" * 256, REG, {}))
archive("a path longer than any", "longer than 4095", ("d/" * 2050 + "f", REG, {}))
archive("an attribute that makes a directory opaque", "reserved",
        ("d", DIR, {"pax_headers": {"SCHILY.xattr.trusted.overlay.opaque": "y"}}))
archive("an attribute of overlayfs without privileges", "reserved",
        ("f", REG, {"pax_headers": {"SCHILY.xattr.user.overlay.redirect": "/etc"}}))
archive("an owner below zero", "outside 0..4294967294", ("f", REG, {"pax_headers": {"uid": "-1"}}))
archive("a size below zero", "size is outside", ("f", REG, {"pax_headers": {"size": "-1"}}))
archive("a file larger than any disk", "unpacks to more than", ("f", REG, {"pax_headers": {"size": str(1 << 50)}}))
archive("a root that is no directory", "not a directory", (".", REG, {}))
archive("a sparse file without its map", "cut short", ("f", REG, {"pax_headers": {"GNU.sparse.major": "1"}}))
archive("a sparse file of a part beyond its end", "beyond its end",
        ("f", REG, {"content": b"xx", "pax_headers": {"GNU.sparse.size": "9", "GNU.sparse.map": "8,2"}}))
archive("a sparse file larger than any disk", "unpacks to more than",
        ("f", REG, {"pax_headers": {"GNU.sparse.size": str(1 << 60), "GNU.sparse.map": "0,0"}}))
archive("a sparse file of endless parts", "more than 262144 parts",
        ("f", REG, {"content": b"99999999\n".ljust(512, b"\0"), "pax_headers":
                    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"}}))
archive("a sparse file by another name that leads out", "leads out",
        ("f", REG, {"pax_headers": {"GNU.sparse.name": UP, "GNU.sparse.size": "0", "GNU.sparse.map": "0,0"}}))

good = Layout().archive
case("a damaged header", Layout(b"x" * 100 + good[100:]), "damaged header")
case("an archive cut short", Layout(good[:700] if len(good) < 700 else tar(("f", REG, {"content": b"x" * 5000}))[:3000]),
     "cut short")
case("gzip cut short", Layout(good, gzip.compress(good)[:-10], LAYER + "+gzip"), "layer")
case("xz", Layout(good, lzma.compress(good), LAYER), "xz")
case("bzip2", Layout(good, bz2.compress(good), LAYER), "bzip2")

l = Layout(); l.blobs[digest(l.blob)] = l.blob[:-1] + b"y"
case("a layer of another digest", l, "digest")
l = Layout(); l.layer["size"] -= 1
case("a layer longer than told", l, "longer than")
l = Layout(); l.layer["size"] += 1
case("a layer shorter than told", l, "bytes where")
l = Layout(); l.config["rootfs"]["diff_ids"] = [digest(b"other")]
case("a layer that is not the configuration's", l, "where the image configuration says")
l = Layout(); l.config["rootfs"]["diff_ids"] *= 2
case("more diff_ids than layers", l, "diff_ids")
l = Layout(); l.layer["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"; l.layer["urls"] = ["http://127.0.0.1:1/"]
case("a foreign layer", l, "kept outside")
l = Layout(); l.raw_config = json.dumps(l.config).encode(); l.blobs[digest(l.raw_config)] = b"{}"
case("a configuration of another digest", l, "digest")
l = Layout(); l.raw_manifest = b"{}"; l.entry["digest"] = digest(b"something else"); l.blobs[l.entry["digest"]] = b"{}"
case("a manifest of another digest", l, "digest")
l = Layout(); l.layer["urls"] = ["http://127.0.0.1:1/layer"]; l.layer["mediaType"] = \
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
case("a layer that may not be distributed", l, "kept outside")
l = Layout(); l.layer["digest"] = "sha512:" + "0" * 128
case("a digest of another kind", l, "is not sha256")
l = Layout(); l.layer["mediaType"] = "application/vnd.cncf.helm.chart.content.v1"
case("an artifact that is no image", l, "not a layer's")
l = Layout(); l.layer["digest"] = "sha256:../../../../etc/passwd"
case("a digest that is a path", l, "digest")
l = Layout(); l.manifest["manifests"] = []
case("a manifest that is an index as well", l, "manifest")
l = Layout(); l.manifest["mediaType"] = INDEX
case("a media type that the fields deny", l, "manifest")
l = Layout(); l.manifest_type = INDEX
case("a manifest that is served as an index", l, "does not fit the fields")
l = Layout(); l.raw_manifest = json.dumps({"schemaVersion": 1, "name": "a", "fsLayers": [], "signatures": []}).encode()
case("Docker schema 1", l, "schema 1")
l = Layout(); l.manifest["annotations"] = {"a": "x" * (5 << 20)}
case("too large a manifest", l, "larger than")
l = Layout(); l.config["author"] = "x" * (9 << 20)
case("too large a configuration", l, "larger than")
l = Layout(); l.manifest["layers"] = [l.layer] * 600
case("too many layers", l, "at most 500")
l = Layout(); l.raw_manifest = b"[" * 100000
case("too deep a document", l, "manifest")
l = Layout(); l.raw_config = b"{\"rootfs\":" + b"{\"a\":" * 50000
case("too deep a configuration", l, "configuration")


def nested(depth):
    l = Layout()
    config = json.dumps(l.config).encode()
    l.add(config)
    l.add(l.blob)
    raw = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [l.layer], "config":
                      {"mediaType": CONFIG, "digest": digest(config), "size": len(config)}}).encode()
    kind = MANIFEST
    for _ in range(depth):
        l.add(raw)
        raw = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": kind, "digest": digest(raw), "size": len(raw),
             "platform": {"os": "linux", "architecture": ARCH}}]}).encode()
        kind = INDEX
    l.raw_manifest, l.manifest_type = raw, INDEX
    return l


case("indexes within indexes without end", nested(50), "index within an index goes deeper than 4")
l = Layout(); l.manifest_type = "application/vnd.docker.distribution.manifest.v2+json"
case("an OCI manifest that is served as Docker's", l, "does not fit")

# ---- taken, and harmless ----

def inside(path):
    """The layer's own file of that name."""
    layers = lab + "/store/layers/"
    return [layers + d + "/" + path for d in os.listdir(layers) if os.path.lexists(layers + d + "/" + path)]


def as_nobody(what):
    """Runs a function as the user nobody. Returns what it raised, by name."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            what()
            os.write(w, b"nothing")
        except OSError as e:
            os.write(w, type(e).__name__.encode())
        os._exit(0)
    os.close(w)
    said = os.read(r, 100).decode()
    os.waitpid(pid, 0)
    os.close(r)
    return said


def writes_through_a_link():
    return open(canary).read() == "untouched" and os.listdir(lab + "/outside") == [] and len(inside(lab[1:] + "/outside/f")) == 1


def closed_to_others(name, mode):
    def look():
        found = inside(name)
        return len(found) == 1 and os.lstat(found[0]).st_mode & 0o7777 == mode and \
            as_nobody(lambda: os.close(os.open(found[0], os.O_RDONLY))) == "PermissionError"
    return look


os.mkdir(lab + "/outside")
harmless = [
    ("a link that leads out is followed inside", tar(("s", SYM, {"linkname": lab + "/outside"}), ("s/f", REG, {"content": b"evil"})),
     writes_through_a_link),
    ("also by way of ..", tar(("d", DIR, {"mode": 0o755}), ("d/s", SYM, {"linkname": "../" * 30 + lab[1:] + "/outside"}),
                              ("d/s/f", REG, {"content": b"evil"})), writes_through_a_link),
    ("a file takes the place of the link", tar(("s", SYM, {"linkname": canary}), ("s", REG, {"content": b"evil"})),
     lambda: open(canary).read() == "untouched" and open(inside("s")[0]).read() == "evil"),
    ("a directory takes the place of the link", tar(("s", SYM, {"linkname": lab + "/outside"}), ("s", DIR, {}), ("s/f", REG, {})),
     lambda: os.listdir(lab + "/outside") == [] and len(inside("s/f")) == 1),
    ("a whiteout through a link hides nothing outside", tar(("s", SYM, {"linkname": lab}), ("s/.wh.canary", REG, {})),
     lambda: open(canary).read() == "untouched"),
    ("a set-user-id program is out of reach", tar(("su", REG, {"mode": 0o4755, "content": b"x"})), closed_to_others("su", 0o4755)),
    ("so is a device", tar(("disk", tarfile.BLKTYPE, {"mode": 0o666, "devmajor": 7, "devminor": 0})), closed_to_others("disk", 0o666)),
]

print("1..%d" % (len(cases) + len(harmless) + 6))
count, failed = 0, 0


def ok(what, good, out=""):
    global count, failed
    count += 1
    failed += not good
    print(("ok" if good else "not ok"), count, "-", what, flush=True)
    if not good:
        print("#", out.replace("\n", "\n# ")[:1000])


def run(*args):
    r = subprocess.run([image, "--store", lab + "/store", *args], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=300)
    return r.returncode, r.stdout.decode(errors="replace")


def left():
    store = lab + "/store/"
    return [d + "/" + n for d in ("images/sha256", "refs", "layers", "tmp") for n in os.listdir(store + d)
            if ".tmp-" not in n and not (d == "layers" and "." in n)]


Layout().write(lab + "/layout")
status, out = run("load", lab + "/layout")
ok("a good image is taken", status == 0, out)
run("rm", "hostile:1")
shutil.rmtree(lab + "/layout")
nested(4).write(lab + "/layout")
status, out = run("load", lab + "/layout")
ok("so is one behind four indexes", status == 0, out)
run("rm", "hostile:1")
for name, layout, complaint in cases:
    shutil.rmtree(lab + "/layout", ignore_errors=True)
    layout.write(lab + "/layout")
    status, out = run("load", lab + "/layout")
    stays = [p for p in left() if not p.startswith("layers/")]
    ok(name + " is refused", status == 1 and complaint in out and not stays and
       open(canary).read() == "untouched", "status %d, left %s: %s" % (status, stays, out))
for name, data, look in harmless:
    shutil.rmtree(lab + "/layout", ignore_errors=True)
    Layout(data).write(lab + "/layout")
    status, out = run("load", lab + "/layout")
    ok(name, status == 0 and look(), out)
    run("rm", "hostile:1")

# An archive of an image is as little trusted as its layers.
for name, complaint, members in [
        ("an archive whose index is a link to a file of the host", "index.json", [("index.json", SYM, {"linkname": canary})]),
        ("an archive with a device", "not wanted here", [("index.json", CHR, {"devmajor": 1, "devminor": 3})]),
        ("an archive with a name that leads out", "leads out", [(UP, REG, {"content": b"evil"})])]:
    with open(lab + "/image.tar", "wb") as f:
        f.write(tar(("oci-layout", REG, {"content": b"{}"}), *members))
    status, out = run("load", lab + "/image.tar")
    ok(name + " is refused", status == 1 and complaint in out and open(canary).read() == "untouched", out)
status, out = run("verify")
ok("the store verifies", status == 0, out)
shutil.rmtree(lab)
sys.exit(failed > 0)
