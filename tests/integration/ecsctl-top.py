#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ecsctl stats and top against a socket that answers as an agent does: a screen on a terminal (a pseudo-terminal
# here) that sorts, follows its size and gives the terminal back; rows in a pipe; lines of JSON. Prints TAP.
import fcntl, json, os, pty, re, select, signal, socket, struct, subprocess, sys, tempfile, termios, threading, time

ecsctl = os.environ.get("abs_top_builddir", ".") + "/ecsctl"
LIMIT_S = 30
count = failed = 0


def ok(what, good, out=""):
    global count, failed
    count += 1
    failed += not good
    print("ok" if good else "not ok", count, "-", what, flush=True)
    if not good:
        print("#", repr(out)[-1500:])


def row(name, cpu, memory):
    return {"taskArn": "arn:x/" + name, "task": name * 4, "container": name, "id": name, "cpuPercent": cpu,
            "memoryBytes": memory, "processes": 1}


STATS = {"containers": [row("aaa", 1.0, 300 << 20), row("bbb", 90.0, 100 << 20), row("ccc", 50.0, 200 << 20)]}


def serve(listener):
    while True:
        peer, _ = listener.accept()
        request = peer.recv(65536)
        found = request.startswith(b"GET /v1/stats ")
        body = json.dumps(STATS if found else {"error": "no"}).encode()
        peer.sendall(b"HTTP/1.0 %s x\r\nContent-Length: %d\r\n\r\n" % (b"200" if found else b"404", len(body)) + body)
        peer.close()


folder = tempfile.TemporaryDirectory()
path = folder.name + "/agent.sock"
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(8)
threading.Thread(target=serve, args=(listener,), daemon=True).start()


class Screen:
    def __init__(self, *words, lines=24, columns=100):
        self.out = b""
        self.fd, self.slave = pty.openpty()
        self.size(lines, columns)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen([ecsctl, "--socket", path, *words], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True)

    def size(self, lines, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    # What came since the last call, until it has the pattern.
    def until(self, pattern):
        got, deadline = b"", time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and not re.search(pattern, got, re.S):
            if select.select([self.fd], [], [], 0.1)[0]:
                got += os.read(self.fd, 65536)
        self.out = got
        return re.search(pattern, got, re.S) is not None

    def end(self):
        code = self.process.wait(LIMIT_S)
        while select.select([self.fd], [], [], 0.1)[0]:
            self.out += os.read(self.fd, 65536)
        same = termios.tcgetattr(self.slave) == self.before
        return code, same and b"\x1b[?25h" in self.out and b"\x1b[?1049l" in self.out


def resize(s, lines, columns):
    s.size(lines, columns)
    os.kill(s.process.pid, signal.SIGWINCH)
    return s.until(rb"bbb.*\x1b\[J")


s = Screen("top", "--interval", "3600")
ok("a screen of its own, those with most CPU first", s.until(rb"\x1b\[\?1049h.*bbb .*ccc .*aaa .*\x1b\[J"), s.out)
ok("nothing is cleared before it is written", b"\x1b[2J" not in s.out and b"\x1b[H\x1b[J" not in s.out, s.out)
os.write(s.fd, b"m")
ok("m: by memory, at once", s.until(rb"by memory.*aaa .*ccc .*bbb .*\x1b\[J"), s.out)
os.write(s.fd, b"n")
ok("n: by name", s.until(rb"by name.*aaa .*bbb .*ccc .*\x1b\[J"), s.out)
os.write(s.fd, b"c")
ok("c: by CPU", s.until(rb"by CPU.*bbb .*ccc .*aaa .*\x1b\[J"), s.out)
good = resize(s, 4, 40)
lines = re.sub(rb"\x1b\[[0-9?]*[A-Za-z]", b"", s.out).split(b"\r\n")
ok("it is cut at the edges of a smaller one", good and len(lines) == 4 and max(map(len, lines)) <= 40, lines)
# Each comes as the frame before it is out, when the program is about to wait.
missed = next((n for n in range(100) if not resize(s, 4 + n % 3, 40)), None)
ok("no change of the size is missed", missed is None, missed)
os.write(s.fd, b"q")
ok("q ends it and gives the terminal back", s.end() == (0, True), s.out)

for name, number in (("Ctrl-C", signal.SIGINT), ("TERM", signal.SIGTERM)):
    s = Screen("stats", "aaa")
    good = s.until(rb"1 container by CPU.*aaa .*\x1b\[J")
    os.kill(s.process.pid, number)
    ok(name + " gives the terminal back, too", s.end() == (0, True) and good, s.out)


def piped(*words, lines):
    p = subprocess.Popen([ecsctl, "--socket", path, *words], stdout=subprocess.PIPE, text=True)
    out = [p.stdout.readline() for _ in range(lines)]
    p.kill()
    p.wait()
    return out


out = piped("stats", "--interval", "0.5", lines=8)
ok("rows again and again in a pipe, as they come", [o.split(" ")[0] for o in out] ==
   ["TASK", "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"] * 2 and "\x1b" not in "".join(out), out)
out = piped("--json", "top", "--interval", "0.5", lines=2)
ok("a line of JSON each time", [[c["container"] for c in json.loads(o)["containers"]] for o in out] ==
   [["bbb", "ccc", "aaa"]] * 2, out)
p = subprocess.run([ecsctl, "--socket", path, "stats", "--sort", "size"], capture_output=True, text=True)
ok("a wrong key is refused", p.returncode == 2 and "cpu, memory or name" in p.stderr, p.stderr)
s = Screen("--socket", path + ".none", "top")
code, given_back = s.end()
ok("without an agent it says so, on the screen that stays", code == 3 and given_back and
   b"cannot reach" in s.out.split(b"\x1b[?1049l")[-1], s.out)
print("1..%d" % count)
sys.exit(failed != 0)
