#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Images of buildah, skopeo and umoci, pushed into docker-registry, open and behind TLS and a password:
# what is pulled is, entry by entry, what umoci unpacks: modes, owners, attributes, times, hard links,
# holes. Prints TAP; needs root.
import hashlib, json, os, shutil, socket, stat, subprocess, sys, tempfile, time

USER, PASSWORD = "joe", "s3cret"


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


if os.geteuid() != 0:
    skip("not root")
for tool in ("docker-registry", "skopeo", "umoci", "buildah", "busybox", "openssl", "perl", "unshare"):
    if not shutil.which(tool):
        skip(tool + " is not installed")
if len(sys.argv) < 2:
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", "--", sys.executable, __file__, "inside"])
image = os.environ.get("abs_top_builddir", ".") + "/ecs-image"
lab = tempfile.mkdtemp(prefix="ecs-image-pushers-")
os.chdir(lab)
servers = []
count = failed = 0


def ok(what, good, lines=()):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    for line in [] if good else list(lines)[:20]:
        print("#", line)


def sh(*argv, **more):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, **more)
    if r.returncode:
        raise RuntimeError("%s: %s" % (" ".join(argv[:3]), r.stdout.decode(errors="replace")[-800:]))
    return r.stdout.decode(errors="replace").strip()


def write(name, text):
    with open(name, "w") as f:
        f.write(text)


def start_registry(name, auth="", tls=""):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    write(name + ".yml", "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
          "storage: {filesystem: {rootdirectory: %s/%s.data}}\nhttp: {addr: \"127.0.0.1:%d\"%s}\n%s\n" % (lab, name, port, tls, auth))
    servers.append(subprocess.Popen(["docker-registry", "serve", name + ".yml"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL))
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return "127.0.0.1:%d" % port
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("no registry came up")


def make_certificates():
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
       "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "tls.key", "-out", "tls.pem")
    hashed = sh("perl", "-e", 'print crypt("%s", "\\$2b\\$05\\$abcdefghijklmnopqrstuu")' % PASSWORD)
    write("htpasswd", "%s:%s\n" % (USER, hashed))


# ---- images ----

def fill(top):
    for d in ("bin", "etc/conf.d", "opt/old/deep", "opt/kept", "var/empty"):
        os.makedirs(top + "/" + d)
    shutil.copy(shutil.which("busybox"), top + "/bin/busybox")
    os.chmod(top + "/bin/busybox", 0o4755)
    os.link(top + "/bin/busybox", top + "/bin/sh")
    os.symlink("busybox", top + "/bin/ls")
    for name in ("etc/gone", "etc/kept", "opt/old/a", "opt/old/deep/b", "opt/kept/c"):
        write(top + "/" + name, name)
    write(top + "/etc/empty", "")
    os.setxattr(top + "/etc/kept", "user.note", b"kept")
    os.chown(top + "/opt/kept", 12, 34)
    os.chmod(top + "/opt/kept", 0o2751)
    os.mkfifo(top + "/opt/pipe")
    os.mknod(top + "/bin/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.utime(top + "/etc/kept", (1, 1000000000))
    os.utime(top + "/var/empty", (1, 1100000000))


def change(top, turn):
    if turn == 1:  # a file goes, a directory comes again with other content
        os.unlink(top + "/etc/gone")
        shutil.rmtree(top + "/opt/old")
        os.mkdir(top + "/opt/old")
        write(top + "/opt/old/new", "new")
    elif turn == 2:  # a directory becomes a file, a file a directory
        shutil.rmtree(top + "/opt/kept")
        write(top + "/opt/kept", "a file now")
        os.unlink(top + "/etc/empty")
        os.mkdir(top + "/etc/empty", 0o700)
        os.link(top + "/etc/kept", top + "/etc/other")
    else:
        os.chmod(top + "/etc/kept", 0o600)
        os.unlink(top + "/bin/ls")
        write(top + "/layer-%d" % turn, "%d" % turn)


def build_with_buildah():
    write("storage.conf", '[storage]\ndriver = "vfs"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' % (lab, lab))
    os.environ["CONTAINERS_STORAGE_CONF"] = lab + "/storage.conf"
    base = "scratch"
    for turn in range(4):
        name = sh("buildah", "from", "--pull-never", base)
        top = sh("buildah", "mount", name)
        fill(top) if turn == 0 else change(top, turn)
        sh("buildah", "config", "--cmd", "/bin/sh", name)
        base = "localhost/built:%d" % turn
        sh("buildah", "commit", "--signature-policy", "policy.json", "-q", "--rm", name, base)
    return base


def build_with_umoci():
    """Twelve layers; one of them an archive with a sparse file, and one in which entries replace others."""
    sh("umoci", "init", "--layout", "oci")
    sh("umoci", "new", "--image", "oci:t")
    sh("umoci", "unpack", "--image", "oci:t", "bundle")
    for turn in range(10):
        fill("bundle/rootfs") if turn == 0 else change("bundle/rootfs", turn) if turn <= 3 else \
            write("bundle/rootfs/layer-%d" % turn, "x" * turn)
        sh("umoci", "repack", "--refresh-bundle", "--image", "oci:t", "bundle")
    os.mkdir("holes")
    with open("holes/holes", "wb") as f:
        for at in (0, 3 << 20, 9 << 20):
            f.seek(at)
            f.write(b"part")
        f.truncate(20 << 20)
    sh("tar", "--format=posix", "--hole-detection=seek", "-S", "-C", "holes", "-cf", "layer.tar", "holes")
    sh("umoci", "raw", "add-layer", "--image", "oci:t", "layer.tar")
    write("holes/twice", "first")
    sh("tar", "-C", "holes", "-cf", "layer.tar", "twice")
    write("holes/twice", "second, longer")
    sh("tar", "-C", "holes", "-rf", "layer.tar", "twice")
    sh("umoci", "raw", "add-layer", "--image", "oci:t", "layer.tar")


# ---- comparing ----

def describe(top):
    """path -> all that an application can see of it."""
    seen, links = {}, {}
    for where, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            what = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev, int(st.st_mtime)]
            if not stat.S_ISDIR(st.st_mode):
                what += [st.st_size, st.st_nlink]
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


def compare(store, ref, expected):
    layers = json.loads(sh(image, "--store", store, "--json", "inspect", ref))["layers"]
    for d in ("merged", "up", "work"):
        os.makedirs(d, exist_ok=True)
    sh("mount", "-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=up,workdir=work" % ":".join(reversed(layers)), "merged")
    try:
        got, wanted = describe("merged"), describe(expected)
        room = os.stat("merged/holes").st_blocks * 512 if os.path.exists("merged/holes") else 0
    finally:
        sh("umount", "merged")
    return len(layers), room, ["%s: wanted %s, got %s" % (p, wanted.get(p), got.get(p))
                               for p in sorted(set(got) | set(wanted)) if got.get(p) != wanted.get(p)]


def pull(store, ref, closed):
    login = ["--username", USER, "--password-stdin", "--certs-dir", lab + "/certs.d"] if closed else []
    return sh(image, "--store", lab + "/" + store, *login, "pull", ref, input=(PASSWORD if closed else "").encode())


def run():
    write("policy.json", '{"default":[{"type":"insecureAcceptAnything"}]}')
    make_certificates()
    open_at = start_registry("open")
    closed_at = start_registry("closed", "auth: {htpasswd: {realm: lab, path: %s/htpasswd}}" % lab,
                               ", tls: {certificate: %s/tls.pem, key: %s/tls.key}" % (lab, lab))
    os.makedirs("certs.d/" + closed_at)
    shutil.copy("tls.pem", "certs.d/%s/registry.crt" % closed_at)
    print("1..8")
    built = build_with_buildah()
    build_with_umoci()
    push = ["buildah", "push", "--signature-policy", "policy.json", "-q"]
    sh(*push, "--tls-verify=false", built, "docker://%s/built:1" % open_at)
    sh(*push, "--cert-dir", "certs.d/" + closed_at, "--creds", USER + ":" + PASSWORD, built, "docker://%s/built:1" % closed_at)
    copy = ["skopeo", "copy", "-q", "--insecure-policy"]
    sh(*copy, "--dest-tls-verify=false", "oci:oci:t", "docker://%s/umoci:1" % open_at)
    sh(*copy, "--dest-cert-dir", "certs.d/" + closed_at, "--dest-creds", USER + ":" + PASSWORD, "oci:oci:t",
       "docker://%s/umoci:1" % closed_at)
    sh(*copy, "--src-tls-verify=false", "docker://%s/built:1" % open_at, "oci:from-buildah:t")
    sh("umoci", "unpack", "--image", "from-buildah:t", "expected-built")
    sh("umoci", "unpack", "--image", "oci:t", "expected-umoci")
    for name, least in (("built", 4), ("umoci", 12)):
        refs = ["%s/%s:1" % (where, name) for where in (open_at, closed_at)]
        for where, ref in zip(("open", "closed"), refs):
            pull(where, ref, where == "closed")
        n, room, differences = compare(lab + "/open", refs[0], "expected-%s/rootfs" % name)
        print("# %s: %d layers" % (name, n))
        ok("what %s made is what umoci unpacks" % ("buildah" if name == "built" else name), n >= least and not differences, differences)
        ids = [json.loads(sh(image, "--store", lab + "/" + s, "--json", "inspect", r))["id"] for s, r in zip(("open", "closed"), refs)]
        ok("and the same behind TLS and a password", ids[0] == ids[1], ids)
    ok("holes take no room", 0 < room < 1 << 20, [room])
    try:
        pull("nobody", closed_at + "/umoci:1", False)
        ok("without the certificate it is not had", False)
    except RuntimeError as e:
        ok("without the certificate it is not had", "certificate" in str(e), [e])
    out = sh(image, "--store", lab + "/open", "--json", "verify")
    ok("every layer verifies, also with entries that others replaced", '"unverifiable":0' in out and '"damaged":[]' in out, [out])
    sh(image, "--store", lab + "/open", "--output", "saved.tar", "save", open_at + "/umoci:1")
    sh(image, "--store", lab + "/again", "--name", "again:1", "load", "saved.tar")
    n, room, differences = compare(lab + "/again", "again:1", "expected-umoci/rootfs")
    ok("saved and loaded again it is the same, holes and all", not differences and 0 < room < 1 << 20, [room] + differences)


try:
    run()
except (RuntimeError, subprocess.TimeoutExpired) as e:
    print("Bail out! %s" % e)
    failed += 1
finally:
    for server in servers:
        server.terminate()
        server.wait()
    os.chdir("/")
    if os.path.exists(lab + "/graph"):
        subprocess.run(["buildah", "umount", "--all"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(lab, ignore_errors=True)
sys.exit(failed > 0)
