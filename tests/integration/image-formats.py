#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# One tree in every form a layer comes in: plain, gzip (one member, several, with zeros behind), estargz,
# zstd, zstd:chunked. All are made here, and all have to unpack to the same. Prints TAP; needs root.
import ctypes, ctypes.util, gzip, hashlib, io, json, os, platform, shutil, struct, subprocess, sys, tarfile, tempfile, zlib

if os.geteuid() != 0:
    print("1..0 # SKIP not root")
    sys.exit(77)
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OCI = "application/vnd.oci.image."
zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_compress.restype = zstd.ZSTD_compressBound.restype = ctypes.c_size_t
zstd.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
zstd.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
lab = tempfile.mkdtemp(prefix="ecs-image-formats-")
count = failed = 0


def ok(what, good, out=""):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    if not good:
        print("#", repr(out)[-1500:])


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def frame(data):
    room = ctypes.create_string_buffer(zstd.ZSTD_compressBound(len(data)))
    size = zstd.ZSTD_compress(room, len(room), data, len(data), 3)
    return room.raw[:size]


def skippable(data):
    return struct.pack("<II", 0x184D2A50, len(data)) + data


def entries(extra=()):
    """Each entry as its bytes of the archive: header, content, padding."""
    pieces = []
    noise = bytes(hashlib.sha256(b"%d" % i).digest()[0] for i in range(70000))
    for name, kind, fields in [
            ("bin", tarfile.DIRTYPE, {"mode": 0o755}), ("bin/tool", tarfile.REGTYPE, {"mode": 0o4755, "content": noise}),
            ("bin/same", tarfile.LNKTYPE, {"linkname": "bin/tool"}), ("bin/link", tarfile.SYMTYPE, {"linkname": "tool"}),
            ("empty", tarfile.REGTYPE, {}), ("text", tarfile.REGTYPE, {"uid": 12, "gid": 34, "content": b"line\n" * 30000}),
            ("noted", tarfile.REGTYPE, {"pax_headers": {"SCHILY.xattr.user.note": "kept"}}),
            ("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}), *extra]:
        info = tarfile.TarInfo(name)
        info.type, info.mtime, info.mode = kind, 1000000000, 0o644
        content = fields.get("content", b"")
        info.size = len(content)
        for k, v in fields.items():
            if k != "content":
                setattr(info, k, v)
        pieces.append(info.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * (-len(content) % 512))
    return pieces


def stargz():
    """Every entry in a member of its own, a table of contents as the last, its place behind."""
    pieces = entries([(".no.prefetch.landmark", tarfile.REGTYPE, {"content": b"\x0f"})])
    toc = json.dumps({"version": 1, "entries": [{"name": "text", "type": "reg"}]}).encode()
    pieces.append(entries([("stargz.index.json", tarfile.REGTYPE, {"content": toc})])[-1] + b"\0" * 1024)
    members = [gzip.compress(p, mtime=0) for p in pieces]
    at = sum(len(m) for m in members[:-1])
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % at
    footer = b"\x1f\x8b\x08\x04" + b"\0" * 5 + b"\xff" + struct.pack("<H", len(extra)) + extra + \
        zlib.compressobj(0, zlib.DEFLATED, -15).flush() + struct.pack("<II", 0, 0)
    return b"".join(pieces), b"".join(members) + footer


def chunked():
    """Every entry in a frame of its own; the table of contents and its place in frames that readers skip."""
    pieces = entries() + [b"\0" * 1024]
    body = b"".join(frame(p) for p in pieces)
    table = frame(json.dumps({"version": 1, "entries": [{"name": "text", "type": "reg"}]}).encode())
    footer = struct.pack("<QQQQQQQ", len(body) + 8, len(table), 80, 1, 0, 0, 0) + b"GNUlInUx"
    return b"".join(pieces), body + skippable(table) + skippable(footer)


def write_layout(path, archive, blob, kind, name):
    config = json.dumps({"architecture": ARCH, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(archive)]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": {
        "mediaType": OCI + "config.v1+json", "digest": digest(config), "size": len(config)}, "layers": [
            {"mediaType": OCI + kind, "digest": digest(blob), "size": len(blob)}]}).encode()
    os.makedirs(path + "/blobs/sha256")
    for data in (config, manifest, blob):
        with open(path + "/blobs/sha256/" + digest(data)[7:], "wb") as f:
            f.write(data)
    with open(path + "/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(path + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{
            "mediaType": OCI + "manifest.v1+json", "digest": digest(manifest), "size": len(manifest),
            "annotations": {"io.containerd.image.name": "example.com/form:" + name}}]}, f)


def describe(top):
    seen = {}
    for where, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            what = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev, st.st_nlink, int(st.st_mtime)]
            if os.path.islink(path):
                what.append(os.readlink(path))
            elif os.path.isfile(path):
                what += [st.st_size, digest(open(path, "rb").read()), sorted(os.listxattr(path))]
            seen[path[len(top):]] = what
    return seen


plain = b"".join(entries()) + b"\0" * 1024
half = len(plain) // 2
packed = gzip.compress(plain)
forms = [
    ("plain", plain, plain, "layer.v1.tar"),
    ("gzip", plain, packed, "layer.v1.tar+gzip"),
    ("gzip-members", plain, gzip.compress(plain[:half]) + gzip.compress(plain[half:]), "layer.v1.tar+gzip"),
    ("gzip-padded", plain, packed + b"\0" * 700, "layer.v1.tar+gzip"),
    ("estargz", *stargz(), "layer.v1.tar+gzip"),
    ("zstd", plain, frame(plain), "layer.v1.tar+zstd"),
    ("zstd-frames", plain, frame(plain[:half]) + skippable(b"what") + frame(plain[half:]), "layer.v1.tar+zstd"),
    ("zstd-chunked", *chunked(), "layer.v1.tar+zstd"),
]
broken = [
    ("estargz", lambda blob: blob[:-30], "cut short"),
    ("zstd-chunked", lambda blob: blob[:-20], "cut short"),
    ("zstd", lambda blob: blob[:-20], "cut short"),
    ("gzip-padded", lambda blob: blob + b"x", "layer"),
    ("plain", lambda blob: blob[:600], "cut short"),
]
print("1..%d" % (2 * len(forms) + len(broken) + 1))
trees = {}
for name, archive, blob, kind in forms:
    store, layout = "%s/%s" % (lab, name), "%s/%s.oci" % (lab, name)
    write_layout(layout, archive, blob, kind, name)
    r = subprocess.run([image, "--store", store, "load", layout], capture_output=True, text=True, timeout=60)
    ok(name + " is taken", r.returncode == 0, r.stderr)
    tops = [d for d in os.listdir(store + "/layers") if "." not in d]
    trees[name] = describe(store + "/layers/" + tops[0]) if len(tops) == 1 else {}
    for own in ("/stargz.index.json", "/.no.prefetch.landmark"):
        if (trees[name].pop(own, None) is not None) != (name == "estargz"):
            trees[name][own] = "missing or out of place"
    r = subprocess.run([image, "--store", store, "--json", "verify"], capture_output=True, text=True, timeout=60)
    ok(name + " is the same tree, and verifies", len(trees["plain"]) == 8 and trees[name] == trees["plain"] and
       r.returncode == 0 and '"unverifiable":0' in r.stdout, (r.stdout, trees[name]))
for name, breaks, complaint in broken:
    archive, blob, kind = [f[1:] for f in forms if f[0] == name][0]
    shutil.rmtree(lab + "/broken", ignore_errors=True)
    write_layout(lab + "/broken", archive, breaks(blob), kind, name)
    r = subprocess.run([image, "--store", lab + "/damaged", "load", lab + "/broken"], capture_output=True, text=True, timeout=60)
    ok(name + ", damaged, is refused", r.returncode == 1 and complaint in r.stderr, r.stderr)
ok("what was refused left nothing", os.listdir(lab + "/damaged/layers") == [], os.listdir(lab + "/damaged/layers"))
shutil.rmtree(lab)
sys.exit(failed > 0)
