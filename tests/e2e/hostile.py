#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hostile - frames that an honest container would not send, and what became of them.

hostile.py send TO-MAC TO-ADDR KIND...   sends one frame of each kind out of eth0; each ends with its kind's name
hostile.py listen SECONDS [DEVICE]       prints the kinds of the frames that come in, until "last" does
hostile.py syn TO-MAC [TO-ADDR PORT]...  a SYN to each, which may be routed elsewhere; prints what answers in 2 s.
                                         "N/ADDR" asks the gateway to pass it on, by a routing header of type N

Environment: VICTIM and VICTIM_MAC, whom to pass for; GATEWAY, GATEWAY6 and GATEWAY_MAC, the bridge's addresses. The end
of a container's IPv6 address is its IPv4 address. Kinds of IPv6 end in -6; `kinds6` prints them.
"""
import fcntl
import os
import select
import socket
import struct
import sys
import time

MARK = b"kind="


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def own():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hardware = fcntl.ioctl(sock, 0x8927, struct.pack("256s", b"eth0"))[18:24]  # SIOCGIFHWADDR
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((os.environ["GATEWAY"], 9))
    return hardware, socket.inet_aton(probe.getsockname()[0])


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, dest, proto, body, fragment=0, ident=1):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident, fragment, 64, proto, 0, source, dest)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def six(v4):
    return socket.inet_pton(socket.AF_INET6, os.environ["GATEWAY6"])[:12] + v4


def udp(source_port, dest_port, body):
    return struct.pack("!HHHH", source_port, dest_port, 8 + len(body), 0) + body


def tcp_syn(source, dest, port, source_port):
    head = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    pseudo = source + dest + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def arp(kind, source_mac, source, dest_mac, dest, name):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, kind, source_mac, source, dest_mac, dest) + name


def ipv6(source, dest, following, body, hop_limit=255):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), following, hop_limit, source, dest) + body


def icmpv6(source, dest, kind, body, before=b""):
    """@before: the number of a header that comes first, and that header from its second byte on."""
    text = struct.pack("!BBH", kind, 0, 0) + body
    total = checksum(source + dest + struct.pack("!II", len(text), socket.IPPROTO_ICMPV6) + text)
    text = text[:2] + struct.pack("!H", total) + text[4:]
    if before:
        return ipv6(source, dest, before[0], bytes([socket.IPPROTO_ICMPV6]) + before[1:] + text)
    return ipv6(source, dest, socket.IPPROTO_ICMPV6, text)


def udp6(source, dest, body):
    text = udp(40000, 9999, body)
    total = checksum(source + dest + struct.pack("!II", len(text), socket.IPPROTO_UDP) + text)
    return ipv6(source, dest, socket.IPPROTO_UDP, text[:6] + struct.pack("!H", total) + text[8:], 64)


def link_local(hardware):
    return bytes.fromhex("fe80") + bytes(6) + bytes([hardware[0] ^ 2]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]


def frames6(name, to_mac, to):
    """Every kind of IPv6: (destination, source, body)."""
    me, mine = own()
    victim_mac = mac(os.environ["VICTIM_MAC"])
    victim, gateway, to, ours = (six(v4) for v4 in (socket.inet_aton(os.environ["VICTIM"]),
                                                    socket.inet_aton(os.environ["GATEWAY"]), to, mine))
    address = lambda text: socket.inet_pton(socket.AF_INET6, text)
    tail = b"\xfd\x08" + name.ljust(62, b"\0")  # as in frames()
    router = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    solicit = lambda source, target: icmpv6(source, to, 135, bytes(4) + target + b"\x01\x01" + me + tail)
    told = lambda target: struct.pack("!I16s", 0x60000000, target) + b"\x02\x01" + me + tail
    advertise = lambda target, before=b"": icmpv6(ours, to, 136, told(target), before)
    return {
        "honest-6": (mac(os.environ["GATEWAY_MAC"]), me, udp6(ours, to, name)),
        "address-of-another-6": (to_mac, me, udp6(victim, to, name)),
        "both-addresses-of-another-6": (to_mac, victim_mac, udp6(victim, to, name)),
        "address-of-gateway-6": (to_mac, me, udp6(gateway, to, name)),
        "address-of-nobody-6": (to_mac, me, udp6(ours[:14] + b"\xfe\xfe", to, name)),
        "address-from-outside-6": (to_mac, me, udp6(address("2001:db8::77"), to, name)),
        "own-end-of-another-network-6": (to_mac, me, udp6(address("fd99::")[:12] + mine, to, name)),
        "own-end-in-the-same-network-6": (to_mac, me, udp6(ours[:11] + b"\1" + mine, to, name)),
        "address-of-the-link-6": (to_mac, me, udp6(link_local(me), to, name)),
        "address-of-the-loopback-6": (to_mac, me, udp6(address("::1"), to, name)),
        "no-address-6": (to_mac, me, udp6(bytes(16), to, name)),
        "strange-hardware-address-6": (to_mac, mac("02:00:00:00:00:01"), udp6(ours, to, name)),
        "to-all-6": (mac("33:33:00:00:00:01"), me, udp6(ours, address("ff02::1"), name)),
        "advertisement-for-another-6": (to_mac, me, advertise(victim)),
        "advertisement-for-gateway-6": (to_mac, me, advertise(gateway)),
        "advertisement-behind-options-6": (to_mac, me, advertise(victim, b"\x3c\0\1\4\0\0\0\0")),
        "advertisement-in-a-fragment-6": (to_mac, me, advertise(victim, b"\x2c\0\0\0\0\0\0\7")),
        "advertisement-to-all-6": (mac("33:33:00:00:00:01"), me, icmpv6(ours, address("ff02::1"), 136, told(gateway))),
        "solicitation-of-another-6": (to_mac, me, solicit(victim, to)),
        "solicitation-of-gateway-6": (to_mac, me, solicit(gateway, to)),
        "solicitation-of-its-own-6": (to_mac, me, solicit(ours, to)),
        "router-solicitation-6": (to_mac, me, icmpv6(ours, to, 133, bytes(4) + b"\x01\x01" + me + tail)),
        "router-advertisement-6": (to_mac, me, icmpv6(link_local(me), to, 134, router + b"\x01\x01" + me + tail)),
        "redirect-6": (to_mac, me, icmpv6(gateway, to, 137, bytes(4) + ours + victim + b"\x02\x01" + me + tail)),
    }


def frames(kind, to_mac, to):
    """The frames of one kind: (destination, source, ethertype, body)."""
    me, mine = own()
    name = MARK + kind.encode() + b";"
    victim = socket.inet_aton(os.environ.get("VICTIM", "0.0.0.0"))
    victim_mac = mac(os.environ.get("VICTIM_MAC", "00:00:00:00:00:00"))
    gateway = socket.inet_aton(os.environ["GATEWAY"])
    everybody = b"\xff" * 6
    strange = mac("02:00:00:00:00:01")
    datagram = udp(40000, 9999, name)
    tag = struct.pack("!HH", 5, 0x0800)
    own6, victim6 = link_local(me), link_local(victim_mac)
    all6 = socket.inet_pton(socket.AF_INET6, "ff02::1")
    all6_mac = mac("33:33:00:00:00:01")
    one = lambda ethertype, body, source=me, dest=to_mac: [(dest, source, ethertype, body)]
    if kind.endswith("-6"):
        dest, source, body = frames6(name, to_mac, to)[kind]
        return one(0x86DD, body, source, dest)
    # An option of neighbour discovery that nobody knows, of 64 bytes: room for the name.
    tail = b"\xfd\x08" + name.ljust(62, b"\0")
    if kind.startswith("honest") or kind == "last":
        return one(0x0800, ipv4(mine, to, 17, datagram))
    if kind == "address-of-another":
        return one(0x0800, ipv4(victim, to, 17, datagram))
    if kind == "both-addresses-of-another":
        return one(0x0800, ipv4(victim, to, 17, datagram), victim_mac)
    if kind == "address-of-nobody":
        return one(0x0800, ipv4(socket.inet_aton("203.0.113.77"), to, 17, datagram))
    if kind == "address-of-gateway":
        return one(0x0800, ipv4(gateway, to, 17, datagram))
    if kind == "strange-hardware-address":
        return one(0x0800, ipv4(mine, to, 17, datagram), strange)
    if kind == "arp-for-another":
        return one(0x0806, arp(2, me, victim, to_mac, to, name))
    if kind == "arp-for-gateway":
        return one(0x0806, arp(2, me, gateway, to_mac, to, name))
    if kind == "arp-to-all-for-gateway":
        return one(0x0806, arp(2, me, gateway, everybody, gateway, name), dest=everybody)
    if kind == "arp-request-for-gateway":
        return one(0x0806, arp(1, me, gateway, bytes(6), to, name), dest=everybody)
    if kind == "vlan":
        return one(0x8100, tag + ipv4(mine, to, 17, datagram))
    if kind == "vlan-in-vlan":
        return one(0x88A8, struct.pack("!HH", 5, 0x8100) + tag + ipv4(mine, to, 17, datagram))
    if kind == "vlan-priority":
        return one(0x8100, struct.pack("!HH", 0, 0x0800) + ipv4(victim, to, 17, datagram))
    if kind == "forged-fragments":
        data = udp(40000, 9999, bytes(1400) + name)
        return [(to_mac, me, 0x0800, ipv4(victim, to, 17, data[:1000], 0x2000, 7)),
                (to_mac, me, 0x0800, ipv4(victim, to, 17, data[1000:], 125, 7))]
    if kind == "half-forged-fragments":
        data = udp(40000, 9999, bytes(1400) + name)
        return [(to_mac, me, 0x0800, ipv4(mine, to, 17, data[:1000], 0x2000, 8)),
                (to_mac, me, 0x0800, ipv4(victim, to, 17, data[1000:], 125, 8))]
    if kind == "dhcp-offer":
        offer = struct.pack("!BBBBIHH4s4s4s4s16s", 2, 1, 6, 0, 1, 0, 0x8000, bytes(4), victim, mine, bytes(4), to_mac)
        offer += bytes(192) + bytes.fromhex("63825363350102ff") + name
        return one(0x0800, ipv4(mine, b"\xff" * 4, 17, udp(67, 68, offer)), dest=everybody)
    if kind == "router-advertisement":
        body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + b"\x01\x01" + me + tail
        return one(0x86DD, icmpv6(own6, all6, 134, body), dest=all6_mac)
    if kind == "neighbour-advertisement-for-another":
        body = struct.pack("!I16s", 0x60000000, victim6) + b"\x02\x01" + me + tail
        return one(0x86DD, icmpv6(victim6, all6, 136, body), dest=all6_mac)
    if kind == "redirect":
        body = struct.pack("!I16s16s", 0, own6, victim6) + b"\x02\x01" + me + tail
        return one(0x86DD, icmpv6(own6, link_local(to_mac), 137, body))
    if kind == "dhcpv6-advertise":
        return one(0x86DD, ipv6(own6, all6, 17, udp(547, 546, b"\x02\0\0\1" + name)), dest=all6_mac)
    if kind == "spanning-tree":
        return one(40, b"\x42\x42\x03" + name.ljust(37, b"\0"), dest=mac("01:80:c2:00:00:00"))
    if kind == "unknown-ethertype":
        return one(0x88B5, name.ljust(46, b"\0"))
    sys.exit(f"no such kind: {kind}")


def send(to_mac, to, *kinds):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind(("eth0", 0))
    for kind in kinds:
        for dest, source, ethertype, body in frames(kind, mac(to_mac), socket.inet_aton(to)):
            sock.send(dest + source + struct.pack("!H", ethertype) + body)


def kinds_in(frame):
    at = frame.find(MARK)
    while at >= 0:
        end = frame.find(b";", at)
        yield frame[at + len(MARK):end].decode("ascii", "replace")
        at = frame.find(MARK, end)


def listen(seconds, device="eth0"):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind((device, 3))
    print("listening", flush=True)
    end = time.monotonic() + float(seconds)
    while (left := end - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
        frame, (_, _, packet_type, _, _) = sock.recvfrom(65536)
        if packet_type == socket.PACKET_OUTGOING:
            continue
        for kind in kinds_in(frame):
            print(kind, flush=True)
            if kind == "last":
                return


def syn_frame(to, port, source_port):
    me, mine = own()
    if ":" not in to:
        dest = socket.inet_aton(to)
        return me + b"\x08\0" + ipv4(mine, dest, 6, tcp_syn(mine, dest, port, source_port))
    routing, _, to = to.rpartition("/")
    mine, dest = six(mine), socket.inet_pton(socket.AF_INET6, to)
    segment = tcp_syn(mine, dest, port, source_port)
    if not routing:
        return me + b"\x86\xdd" + ipv6(mine, dest, 6, segment)
    first = socket.inet_pton(socket.AF_INET6, os.environ["GATEWAY6"])
    return me + b"\x86\xdd" + ipv6(mine, first, 43, struct.pack("!BBBBI16s", 6, 2, int(routing), 1, 0, dest) + segment)


def answer_in(frame):
    """Who sends a segment of TCP, to which port, and with which flags."""
    if frame[12:14] == b"\x08\0" and frame[23] == 6:
        source, segment = socket.inet_ntoa(frame[26:30]), frame[34:]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        source, segment = socket.inet_ntop(socket.AF_INET6, frame[22:38]), frame[54:]
    else:
        return None, 0, 0
    return source, int.from_bytes(segment[2:4], "big"), segment[13]


def syn(to_mac, *words):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.bind(("eth0", 3))
    waiting = set()
    for number, (to, port) in enumerate(zip(words[0::2], words[1::2], strict=True)):
        sock.send(mac(to_mac) + syn_frame(to, int(port), 40001 + number))
        waiting.add(40001 + number)
    end = time.monotonic() + 2
    while waiting and (left := end - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
        frame, (_, _, packet_type, _, _) = sock.recvfrom(65536)
        source, port, flags = answer_in(frame)
        if packet_type != socket.PACKET_OUTGOING and port in waiting:
            print(f"answer from {source} flags {flags}")
            waiting.remove(port)


def kinds6():
    print(*(kind for kind in frames6(b"", bytes(6), bytes(4)) if kind != "honest-6"))


{"send": send, "listen": listen, "syn": syn, "kinds6": kinds6}[sys.argv[1]](*sys.argv[2:])
