"""Cases of record_packets.py, one for each scheduler and flag: connections in every state, while servers
are added, emptied, filled, removed, and the service edited.

`twos` draws lots, and `maglev` is Shunt's own: their picks are in tests/unit/ipvs.
"""

import packet as p

OUT, EITHER = "out", "either"
CLIENTS = [f"203.0.115.{n}" for n in range(1, 9)]
CLIENTS6 = [f"2001:db8:cafe:1::{n}" for n in range(1, 5)]


def server_of(frame):
    """The number of the server that a frame to it bears, by its MAC address."""
    return frame[5]


class Scene:
    """A service, and connections to it from eight clients in turn, to one or more sites. Of five, the
    first two stay in SYN_RECV, two are established, of which one is reset, and one ends."""

    def __init__(self, c, where, sites):
        self.c, self.where, self.sites, self.count, self.first = c, where, sites, 0, None
        self.ports = 4000 + 100 * c.number  # nobody else's: the kernel keeps the sessions of former cases

    def connect(self, times, outcome=EITHER):
        for _ in range(times):
            self.count += 1
            client, site = CLIENTS[self.count % len(CLIENTS)], self.sites[self.count % len(self.sites)]
            self._one(client, self.ports + self.count, site, outcome)

    def _one(self, client, port, site, outcome):
        c = self.c

        def say(flags, outcome=OUT, **more):
            c.client(p.tcp(client, port, site, 80, flags, **more), outcome=outcome)

        say("S", outcome)
        if c.made[-1:] == [len(c.wanted) - 1]:
            return  # refused
        number = server_of(c.wanted[-1][1])
        self.first = self.first or (client, port, site)
        if self.count % 5 < 2:
            return
        server = f"10.1.0.{number}"
        c.server(number, p.tcp(server, 80, client, port, "SA", seq=7, ack=1001))
        say("A", seq=1001, ack=8)
        if self.count % 5 == 3:
            c.server(number, p.tcp(server, 80, client, port, "R", seq=8))
        if self.count % 5 == 4:
            say("FA", seq=1001, ack=8)
            c.server(number, p.tcp(server, 80, client, port, "FA", seq=8, ack=1002))
            say("A", seq=1002, ack=9)

    def command(self, verb, rest=""):
        self.c.command(f"-{verb} {self.where} {rest}".rstrip())


def sites_of(c):
    """Virtual addresses of a mark service, nobody else's, and their network."""
    network = f"198.51.{101 + c.number // 40 % 2}"
    return [f"{network}.{c.number % 40 * 6 + n}" for n in range(1, 7)], f"{network}.0/24"


def scheduler(c, options, marked):
    sites, network = sites_of(c) if marked else ([c.v4], None)
    c.virtuals += sites if marked else []
    if marked:
        c.mark(f"{c.number} to {network} proto tcp")
    scene = Scene(c, f"-f {c.number}" if marked else f"-t {c.v4}:80", sites)
    scene.command("A", f"-s {options}")
    for number, weight in (1, 3), (2, 1), (3, 2):
        scene.command("a", f"-r 10.1.0.{number}:80 -m -w {weight}")
    scene.connect(12)
    scene.command("a", "-r 10.1.0.4:80 -m -w 2")
    scene.connect(8)
    scene.command("e", "-r 10.1.0.1:80 -m -w 0")
    scene.connect(6)
    scene.command("d", "-r 10.1.0.3:80")
    scene.connect(6)
    scene.command("e", "-r 10.1.0.1:80 -m -w 5 -x 8")
    scene.connect(6)
    scene.command("E", f"-s {options}")
    scene.command("a", "-r 10.1.0.3:80 -m -w 1")
    scene.connect(6)
    for number in 1, 2, 3, 4:
        scene.command("e", f"-r 10.1.0.{number}:80 -m -w 0")
    scene.connect(1)
    client, port, site = scene.first
    c.client(p.tcp(client, port, site, 80, "A", seq=1001))  # who has a server keeps it


def udp_v6(c, options):
    """Datagrams over IPv6, direct routing: what counts as inactive only."""
    c.service("u", f"-s {options}", v6=True)
    where = f"-u [{c.v6}]:80"
    for number, weight in (1, 3), (2, 1), (3, 2):
        c.command(f"-a {where} -r [2001:db8:1::{number}]:80 -g -w {weight}")
    for port in range(5000, 5012):
        c.client(p.udp(c.a6, port, c.v6, 80), outcome=EITHER)
    c.command(f"-d {where} -r [2001:db8:1::1]:80")
    for port in range(5012, 5016):
        c.client(p.udp(c.a6, port, c.v6, 80), outcome=EITHER)
    c.client(p.udp(c.a6, 5001, c.v6, 80), outcome=EITHER)


def by_mark(c, options):
    """Services of both families by one mark: several addresses and ports, a server that leaves."""
    number, (sites, network) = c.number, sites_of(c)
    sites = sites[:4]
    sites6 = [f"2001:db8:e:{number:x}::{n}" for n in range(1, 4)]
    c.virtuals += [*sites, *(f"[{site}]" for site in sites6)]
    c.mark(f"{number} to {network} proto tcp")
    c.mark(f"{number} to 2001:db8:e:{number:x}::/64 proto udp")
    c.mark_service(number, f"-s {options}")
    c.mark_service(number, f"-s {options}", v6=True)
    for server, weight in (1, 3), (2, 1), (3, 2):
        c.command(f"-a -f {number} -r 10.1.0.{server}:0 -m -w {weight}")
        c.command(f"-a -f {number} -6 -r [2001:db8:1::{server}]:0 -g -w {weight}")
    first = 4000 + 100 * number

    def connect(begin, end):
        for i in range(begin, end):
            client, site, port = CLIENTS[i % 5], sites[i % 4], (80, 443)[i % 2]
            c.client(p.tcp(client, first + i, site, port, "S"), outcome=EITHER)
            client, site = CLIENTS6[i % 4], sites6[i % 3]
            c.client(p.udp(client, 5000 + i, site, port), outcome=EITHER)

    connect(0, 10)
    c.command(f"-d -f {number} -r 10.1.0.2:0")
    c.command(f"-d -f {number} -6 -r [2001:db8:1::1]:0")
    connect(10, 16)
    c.command(f"-e -f {number} -r 10.1.0.3:0 -m -w 0")
    connect(14, 18)


def no_scheduler(c):
    """-s none: everybody is refused; what has a session goes on when the scheduler is taken away."""
    c.service("t", "-s none", "-r 10.1.0.1:80 -m")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"), outcome="no_server")
    c.command(f"-E -t {c.v4}:80 -s rr")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))
    c.command(f"-E -t {c.v4}:80 -s none")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A", seq=1001))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"), outcome="no_server")


def another_scheduler(c):
    """-E from one scheduler to the next, under connections that count."""
    scene = Scene(c, f"-t {c.v4}:80", [c.v4])
    scene.command("A", "-s rr")
    for number, weight in (1, 3), (2, 1), (3, 2):
        scene.command("a", f"-r 10.1.0.{number}:80 -m -w {weight}")
    for name in "rr", "wlc", "sh -b sh-port", "mh", "wrr", "lblcr", "nq", "ovf", "fo", "lc":
        scene.command("E", f"-s {name}")
        scene.connect(4)


BY_SITE = "lblc", "lblcr", "dh"
NAMES = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")
FLAGS = ("sh -b sh-port", "sh -b sh-fallback", "sh -b sh-fallback,sh-port", "mh -b mh-port",
         "mh -b mh-fallback", "mh -b mh-fallback,mh-port")  # fmt: skip


def name_of(options):
    name, *flags = options.split(" -b ")
    return f"sched-{flags[0].replace(',' + name, '').replace(',', '-') if flags else name}"


CASES = [
    *[(name_of(o), lambda c, o=o: scheduler(c, o, o in BY_SITE), f"-s {o}: connections, and edits.")
      for o in NAMES + FLAGS],
    *[(name_of(o) + "-v6", lambda c, o=o: udp_v6(c, o), f"-s {o}: datagrams over IPv6, -g.")
      for o in NAMES],
    *[(name_of(o) + "-v6", lambda c, o=o: udp_v6(c, o), f"-s {o}: datagrams over IPv6, -g.")
      for o in FLAGS],
    *[(name_of(o) + "-mark", lambda c, o=o: by_mark(c, o), f"-s {o}: a mark service of each family.")
      for o in NAMES + FLAGS],
    *[(name_of(o) + "-address", lambda c, o=o: scheduler(c, o, False), f"-s {o}: one virtual address.")
      for o in BY_SITE],
    ("sched-none", no_scheduler, "-s none."),
    ("sched-another", another_scheduler, "A service's scheduler is changed."),
]  # fmt: skip
