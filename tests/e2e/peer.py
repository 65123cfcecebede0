#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""peer - the two ends of a connection, for tests that ask who reaches whom.

peer.py serve PORT[-PORT]...              answers each line and datagram with the caller's address and the port
peer.py ask tcp|udp HOST PORT [SECONDS]   prints the answer; 1: there is none
peer.py silent [tcp|udp HOST PORT]...     asks all at once; 0: none answers, or connects, within a second
peer.py hold HOST PORT FILE               keeps asking over one connection, ten times a second, and writes how many
                                          answers there were into FILE; ends with 1 when one takes 15 s
"""
import concurrent.futures
import os
import selectors
import socket
import sys
import time


def listen(selector, port):
    """Both families at once: an IPv4 caller is told as such."""
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        try:
            sock = socket.socket(socket.AF_INET6, kind)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            any_address = "::"
        except OSError:
            sock = socket.socket(socket.AF_INET, kind)
            any_address = "0.0.0.0"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((any_address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        selector.register(sock, selectors.EVENT_READ, "listener" if kind == socket.SOCK_STREAM else "datagrams")


def say(peer, sock):
    return f"{peer[0].removeprefix('::ffff:')} {sock.getsockname()[1]}\n".encode()


def handle(selector, key):
    sock = key.fileobj
    if key.data == "listener":
        selector.register(sock.accept()[0], selectors.EVENT_READ, "connection")
    elif key.data == "datagrams":
        _, peer = sock.recvfrom(65536)
        sock.sendto(say(peer, sock), peer)
    else:
        try:
            data = sock.recv(4096)
            if data:
                sock.sendall(say(sock.getpeername(), sock))
                return
        except OSError:
            pass
        selector.unregister(sock)
        sock.close()


def serve(ranges):
    selector = selectors.DefaultSelector()
    for text in ranges:
        first, _, last = text.partition("-")
        for port in range(int(first), int(last or first) + 1):
            listen(selector, port)
    while True:
        for key, _ in selector.select():
            handle(selector, key)


def connect(kind, host, port, seconds):
    family, _, _, _, address = socket.getaddrinfo(host, int(port))[0]
    sock = socket.socket(family, kind)
    sock.settimeout(seconds)
    sock.connect(address)
    return sock


def answer(kind, host, port, seconds):
    kind = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with connect(kind, host, port, seconds) as sock:
        sock.sendall(b"?\n")
        text = sock.recv(4096).decode()
    if not text:
        raise ConnectionError("closed")
    return text


def ask(kind, host, port, seconds="3"):
    try:
        print(answer(kind, host, port, float(seconds)), end="")
    except OSError as problem:
        sys.exit(f"{host} {port}: {problem}")


def silent(*words):
    def one(kind, host, port):
        try:
            if kind == "tcp":  # who takes the connection need not speak our language
                connect(socket.SOCK_STREAM, host, port, 1).close()
                return f"tcp {host} {port}: connected\n"
            return f"{kind} {host} {port}: {answer(kind, host, port, 1)}"
        except OSError:
            return ""

    targets = list(zip(words[0::3], words[1::3], words[2::3], strict=True))
    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        heard = "".join(pool.map(lambda target: one(*target), targets))
    if heard:
        sys.exit(heard)


def hold(host, port, path):
    sock = connect(socket.SOCK_STREAM, host, port, 15)
    count = 0
    while True:
        sock.sendall(b"?\n")
        if not sock.recv(4096):
            sys.exit("closed")
        count += 1
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(f"{count}\n")
        os.rename(path + ".new", path)
        time.sleep(0.1)


if sys.argv[1] == "serve":
    serve(sys.argv[2:])
else:
    {"ask": ask, "silent": silent, "hold": hold}[sys.argv[1]](*sys.argv[2:])
