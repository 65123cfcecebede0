#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A command on a terminal of 30 lines and 90 columns: terminal.py COMMAND... Once it prints "resize", the terminal gets
# 41 lines and 123 columns; once it prints "interrupt", somebody presses Ctrl-C. Prints what it prints and
# exits as it does (124: after 50 s).
import fcntl, os, pty, select, struct, sys, termios, time


def size(fd, lines, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


pid, fd = pty.fork()
if pid == 0:
    size(0, 30, 90)
    os.execvp(sys.argv[1], sys.argv[1:])
seen, end = b"", time.monotonic() + 50
acts = {b"resize": lambda: size(fd, 41, 123), b"interrupt": lambda: os.write(fd, b"\x03")}
while time.monotonic() < end:
    if not select.select([fd], [], [], 1)[0]:
        continue
    try:
        chunk = os.read(fd, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    for word in [w for w in acts if w in seen]:
        acts.pop(word)()
else:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print(seen.decode(errors="replace"))
    sys.exit(124)
sys.stdout.write(seen.decode(errors="replace").replace("\r", ""))
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
