"""Cases of record_packets.py: over IPv6 what others show over IPv4, headers that are wrong, and edits of
a server's method."""

import struct

import packet as p

OUT, KERNEL = "out", "kernel"
SIX = "2001:db8:1::1", "2001:db8:1::2"
SEQUENCES = (
    "cS|cS sSA|cS sSA cA|cS sSA cA cFA|cS sSA cA cFA sFA|cS sSA cA sFA cFA|cS sSA cA sR|cS sSA cA cR|cS cFA cA"
).split("|")


def two(port=80, mode="-m"):
    return [f"-r [{s}]:{port} {mode}" for s in SIX]


def states(c):
    """State and time of TCP after each sequence; UDP before and after an answer."""
    c.service("t", "-s rr", f"-r [{SIX[0]}]:80 -m", v6=True)
    c.service("u", "-s rr", f"-r [{SIX[0]}]:80 -m", v6=True)
    for port, sequence in enumerate(SEQUENCES, 6000):
        for step in sequence.split():
            if step[0] == "c":
                c.client(p.tcp(c.a6, port, c.v6, 80, step[1:]))
            else:
                c.server(1, p.tcp(SIX[0], 80, c.a6, port, step[1:]))
        c.look(port=port)
    c.client(p.udp(c.a6, 5000, c.v6, 80))
    c.look(port=5000)


def non_syn(c):
    c.service("t", "-s rr", f"-r [{SIX[0]}]:80 -m", v6=True)
    for port, flags in enumerate(("A", "PA", "FA", "R", "RA", "", "SR"), 4000):
        c.client(p.tcp(c.a6, port, c.v6, 80, flags), outcome=KERNEL)
    c.client(p.tcp(c.a6, 4010, c.v6, 80, "SA"))
    c.client(p.tcp(c.a6, 4010, c.v6, 80, "A", seq=1001))


def icmp_direct(c):
    """Errors about a directly routed connection go to its server unchanged."""
    c.service("t", "-s rr", f"-r [{SIX[0]}]:80 -g", v6=True)
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S"))
    inner = p.tcp(c.v6, 80, c.a6, 4000, "A", seq=8, ack=1001)
    for kind, rest in (2, struct.pack("!I", 1400)), (1, b"\0" * 4), (3, b"\0" * 4):
        c.client(p.icmp("2001:db8:c::fe", c.v6, kind, 0, rest, inner))
    stranger = p.tcp(c.v6, 80, c.a6, 4999, "A")
    c.client(p.icmp("2001:db8:c::fe", c.v6, 1, 0, body=stranger), outcome=KERNEL)


def schedule_icmp(c):
    """Errors about flows that have no session."""
    c.knob("schedule_icmp", 1)
    for kind in "tu":
        c.service(kind, "-s rr", f"-r [{SIX[0]}]:80 -g", f"-r [{SIX[1]}]:80 -g", v6=True)
    for port in 4000, 4001:
        inner = p.tcp(c.v6, 80, c.a6, port, "A")
        c.client(p.icmp("2001:db8:c::fe", c.v6, 2, 0, struct.pack("!I", 1400), inner))
        c.client(p.icmp("2001:db8:c::fe", c.v6, 1, 3, body=p.udp(c.v6, 80, c.a6, port)))
    c.client(p.icmp("2001:db8:c::fe", c.v6, 1, 3, body=p.udp(c.v6, 81, c.a6, 5001)), outcome=KERNEL)
    c.client(p.udp(c.a6, 4000, c.v6, 80))


def removed_server(c):
    """Its sessions fall silent and go on when it is back; with expire_nodest_conn they end."""
    c.service("u", "-s rr", f"-r [{SIX[1]}]:80 -m", v6=True)  # stays, or IPVS would unhook itself below
    c.service("t", "-s rr", f"-r [{SIX[0]}]:80 -m", v6=True)
    where = f"-t [{c.v6}]:80 -r [{SIX[0]}]:80"

    def again(outcome=OUT):
        c.client(p.tcp(c.a6, 4000, c.v6, 80, "A", seq=1001), outcome=outcome)

    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S"))
    c.command(f"-d {where}")
    again("server_removed")
    c.command(f"-a {where} -m -w 1")
    again()
    c.knob("expire_nodest_conn", 1)
    c.command(f"-d {where}")
    again(KERNEL)
    c.command(f"-a {where} -m -w 1")
    again(KERNEL)


def reuse(c, value):
    """A SYN on the ports of a connection that has ended."""
    c.knob("conn_reuse_mode", value)
    c.service("t", "-s rr", *two(), v6=True)
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S"))
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "A", seq=1001))
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "R", seq=1001))
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S", seq=5000))
    c.client(p.tcp(c.a6, 4001, c.v6, 80, "S"))
    c.client(p.tcp(c.a6, 4001, c.v6, 80, "S"))


def thresholds(c):
    c.service("u", "-s wlc", f"-r [{SIX[0]}]:80 -g -x 2 -y 1", f"-r [{SIX[1]}]:80 -g -x 1", v6=True)
    for port in 5000, 5001, 5002:
        c.client(p.udp(c.a6, port, c.v6, 80))
    c.client(p.udp(c.a6, 5003, c.v6, 80), outcome="no_server")
    c.command(f"-e -u [{c.v6}]:80 -r [{SIX[1]}]:80 -g -w 1 -x 2")
    c.client(p.udp(c.a6, 5003, c.v6, 80))
    c.client(p.udp(c.a6, 5004, c.v6, 80), outcome="no_server")


def edited_method(c):
    """-e makes a directly routed server a masqueraded one, for what begins then. (What began before is
    the row stale-route of docs/differences.md.)"""
    c.service("t", "-s rr", "-r 10.1.0.1:80 -g")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.command(f"-e -t {c.v4}:80 -r 10.1.0.1:80 -m -w 1")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))
    c.server(1, p.tcp("10.1.0.1", 80, c.a4, 4001, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A", seq=1001, ack=8))


def marked_tunnel(c):
    """A service by mark whose servers are at the ends of tunnels, of both families."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.mark(f"{c.number} to {c.v4}/32 proto tcp")
    c.mark_service(c.number, "-s rr", "-r 10.1.0.1:0 -i", "-r [2001:db8:1::2]:0 -i --tun-type gre")
    for port in 80, 443, 8080:
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"))
        c.client(p.tcp(c.a4, 4000, c.v4, port, "A", seq=1001))
    c.client(p.udp(c.a4, 4000, c.v4, 80), outcome=KERNEL)


def no_estimation(c):
    """run_estimation = 0: --rate shows nothing, whatever passes."""
    c.knob("run_estimation", 0)
    c.service("u", "-s rr", "-r 10.1.0.1:80 -g")
    names = "connections", "in_packets", "out_packets", "in_bytes", "out_bytes"
    c.ignored += [f"counters.{name} of the moment, not of the estimator" for name in names]
    for port in range(5000, 5008):
        c.client(p.udp(c.a4, port, c.v4, 80))
    c.list("-L -n --rate")


def patched(packet, at, value):
    """An IPv4 packet with other bytes in its header, and the checksum that belongs to them."""
    head = packet[:at] + value + packet[at + len(value) : 20]
    head = head[:10] + b"\0\0" + head[12:]
    return head[:10] + struct.pack("!H", p.checksum(head)) + head[12:] + packet[20:]


def bad_headers(c):
    """IPv4 headers that Linux drops before IPVS sees them, and such as it takes."""
    c.ignored.append("trailer ethernet-padding, a row of docs/differences.md")
    c.more_args.append("--mac 02:5b:00:00:00:01\n")
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:80 -m")
    good = p.udp(c.a4, 5000, c.v4, 80, b"twelve bytes")
    c.client(patched(good, 0, b"\x55"), outcome="short_ip")
    c.client(patched(good, 0, b"\x44"), outcome="ip_length")
    c.client(good[:12], outcome="short_ip")
    c.client(patched(good, 2, struct.pack("!H", len(good) + 1)), outcome="ip_length")
    c.client(patched(good, 2, struct.pack("!H", 19)), outcome="ip_length")
    c.client(good[:10] + b"\xba\xad" + good[12:], outcome="ip_checksum")
    c.foreign(good)
    c.client(good + b"of Ethernet's padding")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S") + b"\0" * 6)
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S")[:30], outcome="ip_length")


def bad_headers_v6(c):
    """The same over IPv6, and extension headers."""
    c.ignored.append("trailer ethernet-padding, a row of docs/differences.md")
    c.more_args.append("--mac 02:5b:00:00:00:01\n")
    for kind in "tu":
        c.service(kind, "-s rr", f"-r [{SIX[0]}]:80 -g", v6=True)
    good = p.udp(c.a6, 5000, c.v6, 80, b"twelve bytes")
    c.client(b"\x50" + good[1:], outcome="short_ip")
    c.client(good[:39], outcome="short_ip")
    c.client(good[:4] + struct.pack("!H", len(good) - 39) + good[6:], outcome="ip_length")
    c.foreign(good)
    c.client(good + b"of Ethernet's padding")

    for kinds in (60,), (0,), (0, 60):
        c.client(extended(good, *kinds))


def extended(packet, *kinds, told=0):
    """An IPv6 packet behind extension headers of these kinds, each of 8 bytes and full of padding; the
    last one says that it has 8 * told bytes more."""
    following, body = packet[6], packet[40:]
    for kind in reversed(kinds):
        rest = b"\0" * 6 if kind == 43 else b"\1\4" + b"\0" * 4
        body, following, told = bytes([following, told]) + rest + body, kind, 0
    return packet[:4] + struct.pack("!HB", len(body), following) + packet[7:40] + body


def extensions(c):
    """Extension headers, up to eight, through masquerading; some that end nowhere. (More of them, and
    states behind them, are rows of docs/differences.md.)"""
    for kind in "tu":
        c.service(kind, "-s rr", f"-r [{SIX[0]}]:8080 -m", v6=True)
    request = p.udp(c.a6, 5000, c.v6, 80, b"twelve bytes")
    for kinds in (60,), (43,), (60, 43), (60, 43, 60), (60,) * 7, (0,) + (60,) * 7:
        c.client(extended(request, *kinds))
    c.server(1, extended(p.udp(SIX[0], 8080, c.a6, 5000, b"answer"), 60))
    c.client(extended(p.tcp(c.a6, 4001, c.v6, 80, "S"), 60, told=9), outcome="extensions")
    c.client(extended(request, 60, 60, told=3)[:56], outcome="ip_length")


CASES = [
    ("states-v6", states, "State and timeout after each packet sequence over IPv6."),
    ("non-syn-v6", non_syn, "TCP without a session over IPv6."),
    ("icmp-dr-v6", icmp_direct, "ICMPv6 errors about a directly routed connection."),
    ("schedule-icmp-v6", schedule_icmp, "schedule_icmp = 1 over IPv6."),
    ("removed-server-v6", removed_server, "A removed server's connection over IPv6."),
    ("reuse-0-v6", lambda c: reuse(c, 0), "conn_reuse_mode = 0 over IPv6."),
    ("reuse-1-v6", lambda c: reuse(c, 1), "conn_reuse_mode = 1 over IPv6."),
    ("thresholds-v6", thresholds, "-x and -y over IPv6, direct routing."),
    ("edited-method", edited_method, "-e from -g to -m under a connection."),
    ("tun-mark", marked_tunnel, "-f with -i."),
    ("no-estimation", no_estimation, "run_estimation = 0."),
    ("bad-headers", bad_headers, "Wrong IPv4 headers, padding, another's MAC address."),
    ("extensions", extensions, "IPv6 extension headers through masquerading."),
    ("bad-headers-v6", bad_headers_v6, "Wrong IPv6 headers, extension headers."),
]
