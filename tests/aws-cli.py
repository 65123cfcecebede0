#!/usr/bin/python3 -IS
# SPDX-License-Identifier: Apache-2.0
# The AWS CLI of the distribution, without the second of the processor that each start of it takes: aws-cli.py ARGS...
# does what aws ARGS... does, in a process forked off one that has imported the CLI already. That one is started by
# the first call, listens on AWSCLI_SOCKET, and ends when that file is gone or nobody called for a minute; without
# AWSCLI_SOCKET, aws itself runs. What is run is the CLI's own code, with the caller's arguments, environment,
# folder, standard files and exit status; only what it reads of its own data files is remembered.
import fcntl, os, socket, sys, time

IDLE_S, MESSAGE_MAX = 60, 1 << 20


def run_aws():
    for name in "/usr/bin/aws", "aws":
        try:
            os.execvp(name, [name, *sys.argv[1:]])
        except FileNotFoundError:
            pass
    sys.exit("aws-cli.py: the AWS CLI is not installed")


# ---- the caller ----

def connect(path):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(path)
        return s
    except OSError:
        s.close()
        return None


# One caller starts it, the others wait for the lock. It closes the pipe when it listens, or by its death.
def start_and_connect(path):
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        s = connect(path)
        if s:
            return s
        done, doing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                serve(path, doing)
            os._exit(0)
        os.close(doing)
        os.wait()
        os.read(done, 1)
        return connect(path)


def call(path):
    s = connect(path) or start_and_connect(path)
    if not s:
        run_aws()
    words = [os.getcwd(), str(len(sys.argv) - 1), *sys.argv[1:]]
    words += [name + "=" + value for name, value in os.environ.items()]
    message = "\0".join(words).encode(errors="surrogateescape")
    socket.send_fds(s, [b"%08d" % len(message)], [0, 1, 2])
    s.sendall(message)
    answer = s.recv(8)
    sys.exit(int(answer) if answer else 255)


# ---- the one who forks ----

def receive(s):
    head, fds, _, _ = socket.recv_fds(s, 8, 3)
    size, message = int(head), b""
    while len(message) < size <= MESSAGE_MAX:
        chunk = s.recv(size - len(message))
        if not chunk:
            os._exit(255)
        message += chunk
    words = message.decode(errors="surrogateescape").split("\0")
    n = int(words[1])
    return fds, words[0], words[2:2 + n], dict(word.split("=", 1) for word in words[2 + n:])


# Whoever kills the caller means the command.
def end_with_caller(s):
    s.recv(1)
    os._exit(255)


def run(s, main):
    import threading
    fds, folder, arguments, environment = receive(s)
    for n, fd in enumerate(fds):
        os.dup2(fd, n)
        os.close(fd)
    os.chdir(folder)
    os.environ.update(environment)  # beside what the CLI set as it was imported
    time.tzset()
    sys.argv = ["aws", *arguments]
    threading.Thread(target=end_with_caller, args=(s,), daemon=True).start()
    try:
        code = main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1 if e.code else 0
    for f in (sys.stdout, sys.stderr):
        try:
            f.flush()
        except OSError:
            pass
    s.sendall(str(code or 0).encode())
    os._exit(0)


# What is read of the CLI's own files is the same for every call.
def remember(owner, name):
    read, known = getattr(owner, name), {}

    def look_up(self, *arguments, **named):
        key = (*arguments, *sorted(named.items()))
        if key not in known:
            known[key] = read(self, *arguments, **named)
        return known[key]
    setattr(owner, name, look_up)


# What every call would import and find out anew. Nothing here depends on a caller's environment.
def prepare():
    import gc, site
    site.main()
    import awscli.clidriver, awscli.formatter, awscli.handlers, awscli.table, botocore.loaders, botocore.waiter, distro
    remember(botocore.loaders.JSONFileLoader, "load_file")
    remember(botocore.loaders.Loader, "list_available_services")
    loader = awscli.clidriver.create_clidriver().session.get_component("data_loader")
    for kind in "service-2", "paginators-1", "waiters-2":
        loader.load_service_model("ecs", kind)
    loader.load_data("cli")
    loader.load_data("endpoints")
    distro.version()
    gc.disable()
    gc.freeze()
    return awscli.clidriver.main


def serve(path, doing):
    for n in 1, 2:
        os.dup2(os.open(path + ".log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), n)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.closerange(3, doing)
    os.closerange(doing + 1, 1024)
    os.environ.clear()
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.chdir("/")
    try:
        main = prepare()
    except ImportError as e:  # the CLI is another one: callers run it
        print(e, file=sys.stderr, flush=True)
        os._exit(1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(64)
    listener.settimeout(1)
    os.rename(path + ".new", path)
    os.close(doing)
    last = time.monotonic()
    while os.path.exists(path) and time.monotonic() - last < IDLE_S:
        try:
            s, _ = listener.accept()
        except TimeoutError:
            continue
        finally:
            reap()
        last = time.monotonic()
        if os.fork() == 0:
            listener.close()
            s.setblocking(True)
            run(s, main)
        s.close()
    os._exit(0)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if os.environ.get("AWSCLI_SOCKET"):
    call(os.environ["AWSCLI_SOCKET"])
run_aws()
