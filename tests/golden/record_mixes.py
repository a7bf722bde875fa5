"""Cases of record_packets.py in which two things meet: tunnels and fragments or SCTP, marks and SIP,
persistence and methods, listings and connections."""

import time

import packet as p
from record_more import chunks
from record_sip_ftp import invite

OUT, KERNEL, NO_CALL_ID = "out", "kernel", "no_call_id"
KINDS = "", "--tun-type gre --tun-csum", "--tun-type gue --tun-port 6080"
OTHER = "203.0.113.250"


def tunnels(c, service, v6=False, six_behind=None):
    """A service for each kind of tunnel, at ports 81 to 83; its far end's family may be the other one."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.ignored.append("udp.source_port a random hash of the flow")
    outer6 = v6 if six_behind is None else six_behind
    real = "-r [2001:db8:1::1]" if outer6 else "-r 10.1.0.1"
    for port, options in enumerate(KINDS, 81):
        c.service(service, "-s rr", f"{real}:{port} -i {options}", port=port, v6=v6)


def fragments_inside(c, v6=False, six_behind=None):
    """A client's fragments are one packet in a tunnel; it is cut again where it is too long."""
    tunnels(c, "u", v6, six_behind)
    if v6:
        c.ignored += [f"counters.out_{what} own-errors-counted" for what in ("packets", "bytes")]
    a, v, more = (c.a6, c.v6, {}) if v6 else (c.a4, c.v4, {"df": False})
    for port in range(81, 84):
        for size, cut in (600, 208), (1400, 704), (2900, 1448 if v6 else 1480):
            datagram = p.udp(a, 5000, v, port, bytes(x & 255 for x in range(size)), ident=size, **more)
            parts = p.cut(datagram, *[cut] * ((size + 7) // cut))
            told = {"out": None}
            if v6 and size > 1500:
                told = dict(lost=1, reason="too_big", merged=len(parts) - 1, out=1, answered=True)
            c.fragments(0, *parts, **told)
            c.fragments(0, *parts[::-1], **told)


def errors_of_six(c, v6):
    """What routers say about outer packets of IPv6 is Linux's."""
    c.ignored.append("ip6.flow_label a random hash of the flow")
    a, v, outer = (c.a6, c.v6, 41) if v6 else (c.a4, c.v4, 4)
    near, far, router = "2001:db8:1::fe", "2001:db8:1::1", "2001:db8:1::9"
    c.service("t", "-s rr", f"-r [{far}]:80 -i", v6=v6)
    c.client(p.tcp(a, 4000, v, 80, "S"))
    about = p.ip(near, far, outer, p.tcp(a, 4000, v, 80, "S", ttl=63), ttl=63)
    for kind in 1, 3, 4:
        c.server(9, p.icmp(router, near, kind, 0, body=about), outcome=KERNEL)
    c.client(p.tcp(a, 4000, v, 80, "A", seq=1001))


def sctp_inside(c, v6):
    """An association's half that goes to the server."""
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    tunnels(c, "sctp-service", v6)
    for port in range(81, 84):
        for words in "init", "echo", "data", "shutdown", "complete":
            c.client(p.sctp(a, 4000, v, port, chunks(words)))


def sip_by_mark(c):
    """-f with --pe sip: a call goes to its server, by whichever port."""
    c.mark(f"{c.number} to {c.v4} proto udp ports 5060-5061")
    c.mark_service(c.number, "-s rr -p 60 --pe sip -o", "-r 10.1.0.1:0 -m", "-r 10.1.0.2:0 -m")
    for port, call in (5060, "a@x"), (5060, "b@x"), (5061, "a@x"), (5061, "b@x"), (5060, "c@x"), (5061, "c@x"):
        c.client(p.udp(c.a4, 5060, c.v4, port, invite(call)))
    c.client(p.udp(OTHER, 5060, c.v4, 5060, invite("a@x")))
    c.client(p.udp(c.a4, 5060, c.v4, 5060, b"no call"), outcome=NO_CALL_ID)
    c.client(p.udp(c.a4, 5060, c.v4, 5062, invite("a@x")), outcome=KERNEL)


def persistence_direct(c):
    """Templates of directly routed servers, and of tunnels' far ends."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.service("t", "-s rr -p 60 -M 255.255.255.0", *[f"-r 10.1.0.{n}:80 -g" for n in (1, 2)])
    c.service("t", "-s wlc -p 60", *[f"-r 10.1.0.{n}:81 -i" for n in (1, 2)], port=81)
    for port in 80, 81:
        for client in c.a4, OTHER, "203.0.114.1", c.a4:
            for source in 4000, 4001:
                c.client(p.tcp(client, source, c.v4, port, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.command(f"-e -t {c.v4}:80 -r 10.1.0.1:80 -g -w 0")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))


def listings(c):
    """What listings show of connections in every state, by every method, of either family."""
    c.command("--set 900 120 300")
    c.service("t", "-s wlc", "-r 10.1.0.1:80 -m -x 100 -y 50", "-r 10.1.0.2:80 -m")
    c.service("t", "-s rr -p 60 -M 255.255.255.0", "-r 10.1.0.1:81 -g", "-r 10.1.0.2:81 -g", port=81)
    c.service("u", "-s rr", "-r 10.1.0.3:82 -g", port=82)
    c.service("u", "-s rr -o", "-r 10.1.0.3:83 -g", port=83)
    c.service("sctp-service", "-s lc", "-r 10.1.0.3:84 -m", port=84)
    c.service("t", "-s sh -b sh-port", "-r [2001:db8:1::1]:8080 -m", v6=True)
    c.mark(f"{c.number} to {c.v4} proto tcp ports 90-99")
    c.mark_service(c.number, "-s rr -p 30", "-r 10.1.0.4:0 -m")
    c.command(f"-e -t [{c.v6}]:80 -r [2001:db8:1::1]:8080 -m -w 300")
    for port in range(4000, 4006):
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
        c.client(p.tcp(c.a4, port, c.v4, 81, "S"))
        c.client(p.tcp(c.a4, port, c.v4, 90 + port % 10, "S"))
        c.client(p.udp(c.a4, port, c.v4, 82, b"d" * 1200))
        c.client(p.udp(c.a4, port, c.v4, 83))
        c.client(p.tcp(c.a6, port, c.v6, 80, "S"))
    c.client(p.tcp(OTHER, 4000, c.v4, 81, "S"))
    c.client(p.tcp("203.0.114.1", 4000, c.v4, 81, "S"))
    for port in 4000, 4001, 4002:
        c.client(p.tcp(c.a4, port, c.v4, 80, "A", seq=1001))
        c.client(p.tcp(c.a6, port, c.v6, 80, "A", seq=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "FA", seq=1001))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "R", seq=1001))
    for words in "init", "echo", "data":
        c.client(p.sctp(c.a4, 4000, c.v4, 84, chunks(words)))
    for _ in range(12):
        c.client(p.udp(c.a4, 4000, c.v4, 82, b"d" * 1200))
    time.sleep(2.3)  # --stats shows what was copied last
    c.list("-L -n")
    for words in "--stats", "--stats --exact", "--thresholds", "--persistent-conn", "--tun-info":
        c.list(f"-L -n {words}")
    c.list(f"-L -n -t {c.v4}:81 --persistent-conn")
    c.list("-L -n -f %d --stats" % c.number)
    c.list("-L --timeout")


CASES = [
    ("tun-fragments", fragments_inside, "Fragments of a client, through tunnels."),
    ("tun-fragments-v6", lambda c: fragments_inside(c, True), "The same, IPv6 in IPv6."),
    ("tun-fragments-6in4", lambda c: fragments_inside(c, True, False), "The same, IPv6 in IPv4."),
    ("tun-fragments-4in6", lambda c: fragments_inside(c, False, True), "The same, IPv4 in IPv6."),
    ("tun-errors-v6", lambda c: errors_of_six(c, True), "ICMPv6 of routers inside, IPv6 in IPv6."),
    ("tun-errors-4in6", lambda c: errors_of_six(c, False), "ICMPv6 of routers inside, IPv4 in IPv6."),
    ("tun-sctp", lambda c: sctp_inside(c, False), "SCTP through tunnels."),
    ("tun-sctp-v6", lambda c: sctp_inside(c, True), "SCTP through tunnels over IPv6."),
    ("sip-mark", sip_by_mark, "-f with --pe sip."),
    ("persistence-direct", persistence_direct, "-p with -g and -i."),
    ("listings", listings, "Listings of connections."),
]
