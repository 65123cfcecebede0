# SPDX-License-Identifier: Apache-2.0
"""A name server on 127.0.0.1: names.py ADDRESS NAME ...

Each NAME has that one address and nothing else; there are no other names.
"""
import socket
import struct
import sys

ADDRESS = socket.inet_aton(sys.argv[1])
NAMES = {name.lower() for name in sys.argv[2:]}
A, NXDOMAIN, ANSWER = 1, 3, 0x8180


def answer(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace"))
        at += 1 + query[at]
    kind, = struct.unpack_from("!H", query, at + 1)
    known = ".".join(labels).lower() in NAMES
    found = known and kind == A
    record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + ADDRESS
    header = query[:2] + struct.pack("!HHHHH", ANSWER | (0 if known else NXDOMAIN), 1, found, 0, 0)
    return header + query[12:at + 5] + (record if found else b"")


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("127.0.0.1", 53))
    while True:
        data, peer = s.recvfrom(4096)
        try:
            s.sendto(answer(data), peer)
        except (IndexError, struct.error):
            pass  # no question
