#!/usr/bin/env python3
"""Makes the captures of this folder, always the same: make_captures.py [FOLDER].

Each is one theme, small, and full of what goes wrong on wires. README.md says what is in each.
tests/golden/run_captures.py judges shunt-replay on them.
"""

import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "golden"))

import packet as p  # noqa: E402
import pcap  # noqa: E402

DIRECTOR, CLIENT, SERVER = "02:5b:00:00:00:01", "02:00:00:00:00:fe", "02:00:0a:00:00:0b"
V4, V6 = "198.51.100.1", "2001:db8:f::1"  # virtual addresses
A4, A6 = "203.0.113.7", "2001:db8:cafe::7"  # clients
S4, S6 = "10.0.0.11", "2001:db8:1::11"  # a server
START = 1_600_000_000  # seconds since the epoch: September 2020


class Film:
    """A capture in the making: frames a millisecond apart unless told otherwise."""

    def __init__(self):
        self.packets, self.time = [], float(START)

    def frame(self, data, length=None):
        self.packets.append(pcap.packet(self.time, data, length))
        self.time += 0.001
        return self

    def client(self, *packets):
        for packet in packets:
            self.frame(p.ethernet(DIRECTOR, CLIENT, packet))
        return self

    def server(self, *packets):
        for packet in packets:
            self.frame(p.ethernet(DIRECTOR, SERVER, packet))
        return self

    def wait(self, seconds):
        self.time += seconds
        return self


def connection(film, client, port, vip, dport=80, data=b"GET / HTTP/1.0\r\n\r\n", end="FA"):
    """What the director sees of a directly routed connection: the client's half."""
    film.client(p.tcp(client, port, vip, dport, "S", seq=99))
    film.client(p.tcp(client, port, vip, dport, "A", seq=100, ack=1))
    film.client(p.tcp(client, port, vip, dport, "PA", data, seq=100, ack=1))
    if end:
        film.client(p.tcp(client, port, vip, dport, end, seq=100 + len(data), ack=50))
        film.client(p.tcp(client, port, vip, dport, "A", seq=101 + len(data), ack=51))


def handshakes(film):
    for n in range(20):
        connection(film, f"203.0.113.{n + 1}", 40000 + n, V4, end=("FA", "RA", "")[n % 3])
        connection(film, f"2001:db8:cafe::{n + 1:x}", 40000 + n, V6, data=b"x" * n)
    for n in range(10):
        film.client(p.udp(A4, 5000 + n, V4, 53, b"question"), p.udp(A4, 5000, V4, 53, b"again"))
    for flags in "", "A", "SR", "SA", "SF", "FP", "R", "RA", "SPA":
        film.client(p.tcp(A4, 6000 + len(flags), V4, 80, flags))
    film.client(p.tcp(A4, 20, V4, 80, "S"), p.udp(A4, 20, V4, 53))  # FTP data is not scheduled
    for _ in range(3):  # the same port again: after FIN, after RST, while established
        connection(film, A4, 7000, V4, end="FA")
        connection(film, A4, 7001, V4, end="RA")
        connection(film, A4, 7002, V4, end="")
    film.client(p.tcp(A4, 8000, V4, 81, "S"), p.udp(A4, 8000, V4, 54))  # no service there


def pauses(film):
    """Each pause is just shorter, or just longer, than a state's timeout."""

    def ack(port, vip=V4):
        film.client(p.tcp(A4, port, vip, 80, "A", seq=100, ack=1))

    for port, seconds in (4000, 59), (4001, 61):  # SYN_RECV
        film.client(p.tcp(A4, port, V4, 80, "S"))
        film.wait(seconds)
        ack(port)
    for port, seconds in (4100, 899), (4101, 901):  # ESTABLISHED
        connection(film, A4, port, V4, end="")
        film.wait(seconds)
        ack(port)
    for port, seconds in (4200, 9), (4201, 11):  # CLOSE
        connection(film, A4, port, V4, end="")
        film.client(p.tcp(A4, port, V4, 80, "R", seq=118))
        film.wait(seconds)
        ack(port)
    for port, seconds in (4300, 59), (4301, 61), (4302, 119), (4303, 121):  # CLOSE_WAIT, FIN_WAIT
        connection(film, A4, port, V4, end="FA")
        film.wait(seconds)
        ack(port)
    for port, seconds in (4400, 299), (4401, 301):
        film.client(p.udp(A4, port, V4, 53))
        film.wait(seconds)
        film.client(p.udp(A4, port, V4, 53))


def nat_both_ways(film):
    """A masquerading director's wire: clients to the virtual address, servers to the clients."""
    pairs = (A4, V4, S4, 4000), (A6, V6, S6, 4000)
    for client, vip, server, port in pairs:
        film.client(p.tcp(client, port, vip, 80, "S", seq=99))
        film.server(p.tcp(server, 8080, client, port, "SA", seq=7, ack=100))
        film.client(p.tcp(client, port, vip, 80, "A", seq=100, ack=8))
        film.client(p.tcp(client, port, vip, 80, "PA", b"hello", seq=100, ack=8))
        film.server(p.tcp(server, 8080, client, port, "PA", b"world", seq=8, ack=105))
        film.client(p.tcp(client, port, vip, 80, "FA", seq=105, ack=13))
        film.server(p.tcp(server, 8080, client, port, "FA", seq=13, ack=106))
        film.client(p.tcp(client, port, vip, 80, "A", seq=106, ack=14))
        film.client(p.udp(client, 5000, vip, 53, b"odd"))
        film.server(p.udp(server, 5353, client, 5000, b"answer"))
    film.client(p.udp(A4, 5001, V4, 53, b"none", no_sum=True))
    film.server(p.udp(S4, 5353, A4, 5001, b"none", no_sum=True))


def option(following, size=8):
    """A hop-by-hop or destination options header of `size` bytes, padded (RFC 8200 4.2)."""
    return bytes([following, size // 8 - 1, 1, size - 4]) + b"\0" * (size - 4)


def extended(numbers, last=p.UDP, client=A6, vip=V6):
    """A packet to the virtual address behind a chain of extension headers."""
    inner = p.udp_datagram(client, 5000, vip, 53)
    if last == p.TCP:
        inner = p.tcp_segment(client, 4000, vip, 80, "S")
    chain = [*numbers, last]
    body = b""
    for number, following in zip(chain, chain[1:]):
        if number == 43:
            body += bytes([following, 0, 0, 0]) + b"\0" * 4
        elif number == 51:
            body += bytes([following, 4]) + b"\0" * 22  # (4 + 2) words
        elif number == 44:
            body += bytes([following, 0, 0, 0]) + b"\0\0\0\7"
        else:
            body += option(following, 16)
    return p.ip(client, vip, chain[0], body + inner)


def ipv6(film):
    connection(film, A6, 4000, V6)
    for chain in [0], [60], [43], [0, 60, 43], [51], [0, 43, 60, 51, 60]:
        film.client(extended(chain), extended(chain, p.TCP))
    film.client(p.udp(A6, 5000, V6, 53, tos=0xB8), p.udp("fe80::1", 5000, V6, 53))
    film.client(p.ip(A6, V6, 59, b""), p.ip(A6, V6, 135, b"\x3b\0" + b"\0" * 6))
    film.client(p.icmp(A6, V6, 128, 0, b"\0\1\0\1", b"ping"))
    film.client(p.udp(A6, 5000, V6, 53, no_sum=True))
    solicitation = p.icmp(A6, "ff02::1:ff00:1", 135, 0, body=p.pack_address(V6), ttl=255)
    film.frame(p.ethernet("33:33:ff:00:00:01", CLIENT, solicitation))


def extension_loops(film):
    for number in range(1, 13):  # eight are looked through
        film.client(extended([60] * number))
    film.client(extended([44, 44]), extended([44, 60, 44]))
    film.client(extended([0] * 100))
    film.client(p.ip(A6, V6, 60, bytes([60, 255]) + b"\0" * 30))  # longer than the packet
    film.client(p.ip(A6, V6, 51, bytes([17, 255]) + b"\0" * 30))
    for size in range(0, 16, 3):  # cut short
        film.client(p.ip(A6, V6, 0, option(60, 8)[:size]))
    film.client(p.ip(A6, V6, 60, option(p.UDP, 8) + b"\0\1"))
    film.client(p.ip(A6, V6, 0, b"", total=0))
    film.client(p.ip(A6, V6, 0, bytes([17, 0, 0xC2, 4, 0, 1, 0, 0]) + b"\0" * 64, total=0))
    connection(film, A6, 4000, V6)


def pieces(source, destination, payload, protocol, sizes, ident, shared=b""):
    """IPv4 fragments of the payload, cut at the given sizes (multiples of eight)."""
    out, at = [], 0
    for size in [*sizes, len(payload) - sum(sizes)]:
        more = at + size < len(payload)
        data = payload[at : at + size]
        options = {"ident": ident, "df": False, "offset": at, "more": more, "options": shared}
        out.append(p.ip(source, destination, protocol, data, **options))
        at += size
    return out


def pieces_v6(source, destination, payload, protocol, sizes, ident):
    out, at = [], 0
    for size in [*sizes, len(payload) - sum(sizes)]:
        more = at + size < len(payload)
        head = struct.pack("!BBHI", protocol, 0, at | more, ident)
        out.append(p.ip(source, destination, 44, head + payload[at : at + size]))
        at += size
    return out


def fragments(film):
    big = p.udp_datagram(A4, 5000, V4, 53, bytes(range(256)) * 12)
    film.client(*pieces(A4, V4, big, p.UDP, [1480, 1480], 1))
    film.client(*reversed(pieces(A4, V4, big, p.UDP, [1480, 1480], 2)))
    first, second, third = pieces(A4, V4, big, p.UDP, [1480, 800], 3)
    film.client(second, first, third, third, first)
    film.client(second[:4] + b"\0\4" + second[6:])  # wrong checksum now
    film.client(*pieces(A4, V4, big, p.UDP, [8] * 20, 5))  # ports in the first, header not whole
    segment = p.tcp_segment(A4, 4000, V4, 80, "S")
    film.client(*pieces(A4, V4, segment, p.TCP, [8], 6), *pieces(A4, V4, segment, p.TCP, [16], 7))
    film.client(*pieces(A4, V4, big, p.UDP, [1480, 1480], 8, b"\x94\4\0\0"))
    a, b = pieces(A4, V4, big[:1000], p.UDP, [504], 9)
    film.client(a, b, p.ip(A4, V4, p.UDP, b"overlap" * 8, ident=9, df=False, offset=496, more=True))
    film.client(*pieces(A4, V4, big, p.UDP, [1480, 1480], 10)[1:])  # the first never comes
    film.wait(40).client(*pieces(A4, V4, big, p.UDP, [1480, 1480], 10)[:1])
    six = p.udp_datagram(A6, 5000, V6, 53, bytes(range(256)) * 8)
    film.client(*pieces_v6(A6, V6, six, p.UDP, [1024], 1))
    film.client(*reversed(pieces_v6(A6, V6, six, p.UDP, [1024], 2)))
    film.client(extended([44]), extended([44], p.TCP))  # atomic fragments (RFC 6946)
    other = "203.0.113.99"  # a client without fragments on the same service
    film.client(p.udp(other, 5000, V4, 53), p.udp("2001:db8:cafe::99", 5000, V6, 53))


def dns(film):
    """Questions over both families: asked again, with EDNS, several in one client's port; TCP after a
    truncated answer."""

    def question(ident, name, kind=1, edns=False):
        head = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, int(edns))
        labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"
        option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b""
        return head + labels + struct.pack("!HH", kind, 1) + option

    for number in range(40):
        name, port = f"host{number}.example", 20000 + number % 7
        for client, vip in (A4, V4), (A6, V6):
            film.client(p.udp(client, port, vip, 53, question(number, name, 1, number % 2 == 0)))
            film.client(p.udp(client, port, vip, 53, question(number + 1000, name, 28)))
        if number % 10 == 9:
            film.wait(5).client(p.udp(A4, port, V4, 53, question(number, name)))
    film.wait(301).client(p.udp(A4, 20000, V4, 53, question(1, "late.example")))
    asked = question(7, "long.example", 16)
    connection(film, A4, 30000, V4, 53, struct.pack("!H", len(asked)) + asked)


def quic(film):
    """Connections of QUIC version 1 (RFC 9000): Initial packets of 1200 bytes, coalesced ones, 0-RTT,
    short headers, a client whose port changes, a keep-alive after a minute, an unknown version."""
    ident = bytes(range(8))

    def long(kind, size, version=1):
        head = struct.pack("!BIB", 0xC0 | kind << 4 | 3, version, 8) + ident + b"\x08" + ident[::-1]
        return head + (b"\0" if kind == 0 else b"") + struct.pack("!H", 0x4000 | size) + b"q" * size

    def short(size):
        return b"\x43" + ident + b"s" * size

    for number, (client, vip) in enumerate(((A4, V4), (A6, V6), ("203.0.113.8", V4))):
        port = 40000 + number
        film.client(p.udp(client, port, vip, 443, long(0, 1172)))
        film.client(p.udp(client, port, vip, 443, long(1, 600)))  # 0-RTT
        film.client(p.udp(client, port, vip, 443, long(0, 200) + long(2, 900)))
        for size in 20, 1200, 1350, 30:
            film.client(p.udp(client, port, vip, 443, short(size)))
        film.wait(60).client(p.udp(client, port, vip, 443, short(20)))
        for _ in range(3):  # it has a new address translation now
            film.client(p.udp(client, port + 1000, vip, 443, short(1300)))
    film.client(p.udp(A4, 50000, V4, 443, long(0, 1172, 0x1A2A3A4A)))
    film.client(p.udp(A4, 50001, V4, 443, short(1473), df=False))


def icmp_errors(film):
    router, router6 = "192.0.2.254", "2001:db8:c::fe"
    connection(film, A4, 4000, V4, end="")
    connection(film, A6, 4000, V6, end="")
    film.client(p.udp(A4, 5000, V4, 53), p.udp(A6, 5000, V6, 53))
    back = p.tcp(V4, 80, A4, 4000, "A", b"data", seq=8, ack=1001)
    for kind, code in (3, 4), (3, 1), (4, 0), (11, 0), (11, 1), (12, 0), (5, 1), (8, 0), (0, 0):
        film.client(p.icmp(router, V4, kind, code, b"\0\0\5\x78", back[:28]))
    for size in 0, 7, 19, 20, 27, 28, 40, 44:
        film.client(p.icmp(router, V4, 3, 1, body=back[:size]))
    optional = p.tcp(V4, 80, A4, 4000, "A", options=b"\1\1\1\0")
    film.client(p.icmp(router, V4, 3, 1, body=optional[:32]))
    film.client(p.icmp(router, V4, 3, 1, body=b"\x4f" + back[1:]))  # header of 60 bytes, not there
    film.client(p.icmp(router, V4, 3, 1, body=b"\x65" + back[1:]))
    later = p.ip(V4, A4, p.TCP, b"x" * 40, offset=800, df=False)
    film.client(p.icmp(router, V4, 3, 1, body=later))
    film.client(p.icmp(router, V4, 3, 1, body=p.tcp(V4, 80, A4, 4999, "A")))  # no such session
    film.client(p.icmp(router, V4, 3, 1, body=p.tcp(A4, 4000, V4, 80, "A")))  # its own direction
    film.client(p.icmp(router, V4, 3, 3, body=p.udp(V4, 53, A4, 5000)))
    film.client(p.icmp(router, V4, 3, 3, body=p.udp(V4, 53, A4, 5000), ttl=1))  # never answered
    film.client(p.icmp(router, V4, 3, 1, body=p.icmp(V4, A4, 8, 0)))
    back = p.tcp(V6, 80, A6, 4000, "A", b"data", seq=8, ack=1001)
    for kind, code in (1, 0), (1, 4), (2, 0), (3, 0), (4, 1), (128, 0), (137, 0):
        film.client(p.icmp(router6, V6, kind, code, b"\0\0\5\x78", back))
    for size in 39, 40, 47, 48, 60:
        film.client(p.icmp(router6, V6, 1, 0, body=back[:size]))
    behind = p.ip(V6, A6, 60, option(p.TCP, 8) + back[40:])
    film.client(p.icmp(router6, V6, 1, 0, body=behind))
    film.client(p.icmp(router6, V6, 1, 4, body=p.udp(V6, 53, A6, 5000)))
    later = p.ip(V6, A6, 44, b"\x06\0\1\0\0\0\0\7" + b"x" * 20)
    film.client(p.icmp(router6, V6, 1, 0, body=later))


def truncated_headers(film):
    """Frames that end early, but were so short on the wire."""
    whole = [
        p.tcp(A4, 4000, V4, 80, "S"),
        p.udp(A4, 5000, V4, 53, options=b"\1" * 8),
        p.tcp(A6, 4000, V6, 80, "S"),
        extended([0, 60]),
    ]
    for packet in whole:
        frame = p.ethernet(DIRECTOR, CLIENT, packet)
        for size in range(0, len(frame) + 1):
            film.frame(frame[:size])
    for size in range(0, 21):  # the lengths agree, the transport header is short
        film.client(p.ip(A4, V4, p.TCP, (b"\x0f\xa0\0\x50" + b"\0" * 20)[:size]))
        film.client(p.ip(A4, V4, p.UDP, (b"\x13\x88\0\x35" + b"\0" * 20)[:size]))
        film.client(p.ip(A6, V6, p.UDP, (b"\x13\x88\0\x35" + b"\0" * 20)[:size]))
    connection(film, A4, 4000, V4)


def bad_checksums(film):
    connection(film, A4, 4000, V4)
    film.client(p.tcp(A4, 4000, V4, 80, "S", bad_sum=True), p.udp(A4, 5000, V4, 53, bad_sum=True))
    for client, vip in (A4, V4), (A6, V6):
        film.client(p.tcp(client, 4001, vip, 80, "S", bad_tcp=True))
    film.client(p.udp(A4, 5000, V4, 53, no_sum=True), p.udp(A6, 5000, V6, 53, no_sum=True))
    for value in 0x0001, 0x8000, 0xFFFE, 0xFFFF:
        datagram = p.udp_datagram(A4, 5000, V4, 53, b"wrong")
        datagram = datagram[:6] + struct.pack("!H", value) + datagram[8:]
        film.client(p.ip(A4, V4, p.UDP, datagram))
    for word in range(0, 0x10000, 0x0555):  # sums close to zero, where ones' complement has two
        film.client(p.udp(A4, 5000, V4, 53, struct.pack("!H", word)))
        film.client(p.tcp(A4, 4002, V4, 80, "S", seq=word))


def sctp(film):
    """The client's half of associations, over both families."""
    bodies = {0: 17, 1: 16, 2: 20, 3: 12, 7: 4, 10: 21}
    kinds = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 14, 15, 192, 255)

    def chunks(*wanted):
        return b"".join(p.chunk(k, bytes(range(bodies.get(k, 0)))) for k in wanted)

    paths = ((1,), (1, 1), (1, 2), (1, 2, 2), (1, 2, 6), (1, 6), (1, 10), (1, 2, 11), (1, 10, 7), (1, 14))
    for client, vip in (A4, V4), (A6, V6):
        port = 2000
        for path in paths:
            for last in kinds:
                port += 1
                for kind in (*path, last):
                    film.client(p.sctp(client, port, vip, 5000, chunks(kind)))
            film.wait(3)
        film.client(*(p.sctp(client, 1000 + k, vip, 5000, chunks(k)) for k in kinds))
        bundles = [chunks(*b) for b in ((10, 6), (11, 6), (10, 0, 6), (0, 6), (3, 6), (1, 6), (10, 7))]
        for length in 0, 3, 4, 5, 8, 9, 5000, 65535:
            bundles.append(p.chunk(10, b"four", length=length) + chunks(6))
        bundles += [chunks(10) + chunks(6)[:size] for size in (1, 3, 4)] + [b"", b"\x07", b"\x07\0\0"]
        for number, bundle in enumerate(bundles):
            film.client(p.sctp(client, 1100 + number, vip, 5000, chunks(1)))
            film.client(p.sctp(client, 1100 + number, vip, 5000, bundle))
        for size in range(18):
            film.client(p.sctp(client, 1200 + size, vip, 5000, chunks(1), cut=size))
            film.client(p.sctp(client, 1201, vip, 5000, chunks(1), cut=size))
        film.client(p.sctp(client, 1300, vip, 5000, chunks(1), bad_sctp=True))
        film.client(p.sctp(client, 1300, vip, 5000, chunks(0), bad_sctp=True, ttl=1))
        quote = p.sctp(vip, 5000, client, 1300, chunks(0))
        film.client(p.icmp(client, vip, 1 if ":" in vip else 3, 1, body=quote))
        for silence in 1, 3.99, 4.01:  # INIT1 lasts 4 s
            film.client(p.sctp(client, 1301, vip, 5000, chunks(1)))
            film.wait(silence)
            film.client(p.sctp(client, 1301, vip, 5000, chunks(0)))
            film.client(p.sctp(client, 1301, vip, 5000, chunks(6)))
        film.client(p.sctp(client, 1302, vip, 5000, chunks(1)), p.sctp(client, 1302, vip, 5000, chunks(1)))
        film.wait(61.5)
        for _ in range(20):  # one more look at what is over with each
            film.client(p.sctp(client, 1302, vip, 5000, chunks(0)))


def vlan_arp(film):
    connection(film, A4, 4000, V4)
    inside = p.tcp(A4, 4000, V4, 80, "A")
    film.frame(p.ethernet(DIRECTOR, CLIENT, b"\0\7\x08\0" + inside, kind=0x8100))
    film.frame(p.ethernet(DIRECTOR, CLIENT, b"\0\7\x81\0\0\x08\x08\0" + inside, kind=0x88A8))
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + p.mac_bytes(CLIENT) + p.pack_address(A4)
    arp += b"\0" * 6 + p.pack_address(V4)
    for mac in "ff:ff:ff:ff:ff:ff", DIRECTOR:
        film.frame(p.ethernet(mac, CLIENT, arp + b"\0" * 18, kind=0x0806))
    film.frame(p.ethernet("01:80:c2:00:00:0e", CLIENT, b"\2\7\4", kind=0x88CC))  # LLDP
    film.frame(p.ethernet("01:80:c2:00:00:00", CLIENT, b"\x42\x42\3" + b"\0" * 35, kind=38))  # STP
    film.frame(p.ethernet(DIRECTOR, CLIENT, inside, kind=0x0800) + b"\0" * 6)  # padded
    for mac in "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01":
        film.frame(p.ethernet(mac, CLIENT, p.udp(A4, 5000, V4, 53)))  # not unicast: not ours
    film.frame(p.ethernet(DIRECTOR, CLIENT, p.udp(A4, 5000, V4, 53)))
    film.frame(p.ethernet(DIRECTOR, CLIENT, p.udp(A6, 5000, V6, 53), kind=0x0800))  # types that lie
    film.frame(p.ethernet(DIRECTOR, CLIENT, p.udp(A4, 5000, V4, 53), kind=0x86DD))
    film.client(p.ip(A4, V4, 47, b"\0\0\x08\0" + inside), p.ip(A4, V4, 132, b"\0" * 12))
    film.client(p.ip(A4, V4, 4, inside), p.ip(A4, V4, 2, b"\x16\0\0\0" + b"\0" * 4))


def jumbo(film):
    for client, vip, header in (A4, V4, 40), (A6, V6, 60):
        connection(film, client, 4000, vip, end="")
        for size in 1499, 1500, 1501, 9000:
            for df in True, False:
                data = b"j" * (size - header)
                film.client(p.tcp(client, 4000, vip, 80, "A", data, seq=118, df=df))
    film.client(p.udp(A4, 5000, V4, 53, b"u" * 8972, df=False), p.udp(A4, 5000, V4, 53, b"after"))


def cut_by_capture(film):
    connection(film, A4, 4000, V4)
    for kept in 0, 6, 14, 34, 54, 60, 64, 96:
        frame = p.ethernet(DIRECTOR, CLIENT, p.tcp(A4, 4001, V4, 80, "S", b"x" * 1000))
        film.frame(frame[:kept], len(frame))
    connection(film, A4, 4002, V4)


def wrong_lengths(film):
    connection(film, A4, 4000, V4)
    good = p.udp_datagram(A4, 5000, V4, 53, b"z" * 32)
    for total in 0, 19, 20, 27, 28, 59, 60, 61, 1500, 65535:  # 60 is right
        film.client(p.ip(A4, V4, p.UDP, good, total=total))
    good = p.udp_datagram(A6, 5000, V6, 53, b"z" * 32)
    for total in 0, 7, 8, 39, 40, 41, 1500, 65535:  # 40 is right
        film.client(p.ip(A6, V6, p.UDP, good, total=total))
    for first in 0x40, 0x44, 0x46, 0x4F, 0x05, 0x55, 0x65, 0xF5:
        packet = bytearray(p.udp(A4, 5000, V4, 53, b"z" * 8))
        packet[0], packet[10:12] = first, b"\0\0"
        size = max((first & 15) * 4, 20)
        packet[10:12] = struct.pack("!H", p.checksum(bytes(packet[:size])))
        film.client(bytes(packet))
    for first in 0x00, 0x40, 0x50, 0x70:
        film.client(bytes([first]) + p.udp(A6, 5000, V6, 53)[1:])
    for length in 0, 7, 8, 9, 500:  # UDP's own length is not the balancer's business
        datagram = p.udp_datagram(A4, 5000, V4, 53, b"z" * 4)
        film.client(p.ip(A4, V4, p.UDP, datagram[:4] + struct.pack("!H", length) + datagram[6:]))
    for offset in 0x00, 0x40, 0xF0:  # neither is TCP's data offset
        segment = p.tcp_segment(A4, 4001, V4, 80, "S")
        film.client(p.ip(A4, V4, p.TCP, segment[:12] + bytes([offset]) + segment[13:]))
    padded = p.ethernet(DIRECTOR, CLIENT, p.udp(A4, 5000, V4, 53))
    film.frame(padded + b"\xee" * 17).frame(padded + b"\xee" * 1400)


def hop_limits(film):
    for ttl in 0, 1, 2, 255:
        film.client(p.tcp(A4, 4000, V4, 80, "S", ttl=ttl), p.udp(A6, 5000, V6, 53, ttl=ttl))
    sources = "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "10.255.255.255"
    for source in sources:  # errors go to none of these but the last
        film.client(p.udp(source, 5000, V4, 53, ttl=1), p.udp(source, 5000, V4, 53))
    for source in "::", "ff02::1", "::1", "fe80::1":
        film.client(p.udp(source, 5000, V6, 53, ttl=1), p.udp(source, 5000, V6, 53))
    for client, vip in (A4, V4), (A6, V6):  # quoted in part
        film.client(p.udp(client, 5001, vip, 53, b"q" * 1400, ttl=1))
    film.wait(1)
    for _ in range(120):  # more than the rate limit of ICMP errors lets through
        film.client(p.udp(A4, 5002, V4, 53, ttl=1))
        film.time -= 0.0009


def strange_times(film):
    connection(film, A4, 4000, V4, end="")
    film.wait(-3600)  # backwards is no time
    connection(film, A4, 4001, V4, end="")
    film.wait(3700)
    connection(film, A4, 4002, V4, end="")
    film.time = 0.0
    connection(film, A4, 4003, V4, end="")
    film.time = float(4_200_000_000)  # the year 2103: one step
    film.client(p.tcp(A4, 4000, V4, 80, "A", seq=118), p.tcp(A4, 4003, V4, 80, "A", seq=118))
    connection(film, A4, 4004, V4)
    film.time = float(START)
    film.client(p.tcp(A4, 4004, V4, 80, "A", seq=119))


FILMS = {
    "handshakes": handshakes,
    "pauses": pauses,
    "nat-both-ways": nat_both_ways,
    "ipv6": ipv6,
    "extension-loops": extension_loops,
    "fragments": fragments,
    "dns": dns,
    "quic": quic,
    "icmp-errors": icmp_errors,
    "truncated-headers": truncated_headers,
    "bad-checksums": bad_checksums,
    "sctp": sctp,
    "vlan-arp": vlan_arp,
    "jumbo": jumbo,
    "cut-by-capture": cut_by_capture,
    "wrong-lengths": wrong_lengths,
    "hop-limits": hop_limits,
    "strange-times": strange_times,
}


def captures():
    """{file name: bytes}"""
    out = {}
    for name, make in FILMS.items():
        film = Film()
        make(film)
        out[name + ".pcap"] = pcap.render(film.packets)
    film = Film()
    connection(film, A4, 4000, V4)
    connection(film, A6, 4000, V6)
    for n, packet in enumerate(film.packets):
        packet.time += n  # not whole microseconds
    other = pcap.render(film.packets, nanoseconds=True, big_endian=True)
    out["big-endian-nanoseconds.pcap"] = other
    out["cut-record.pcap"] = pcap.render(film.packets)[:-20]
    out["empty.pcap"] = pcap.render([])
    raw = [pcap.packet(START, p.tcp(A4, 4000, V4, 80, "S"))]
    out["not-ethernet.pcap"] = pcap.render(raw, link_type=101)
    return out


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    for name, data in captures().items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
