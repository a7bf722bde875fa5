"""Random scenarios about what leaves the wire: scripts/oracle --packets.

Where generator.py has schedulers and edits in its cells, a cell here is a way of forwarding, a family
and a kind of packets. Each scenario is dealt CELLS of them, shuffled; a cell gets a service of its
own with servers of that way alone, and random traffic between.

scenario(seed, number, can) depends on nothing else.
"""

import random

import edits
import generator
import model
import refused
import world

CELLS = 8  # of one scenario
LISTINGS = (*generator.LISTINGS, "-L -n --tun-info")
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sh", "mh")
CONTROL = {"c": ("USER x", "NOOP"), "s": ("220 ready", "200 OK")}

# How a server is reached: {name: (method of model.METHODS, whose address it has)}, "other" being of
# the other family, "own" the director's.
WAYS = {"masq": ("masq", "same"), "route": ("route", "same")}
WAYS |= {name: (name, "same") for name in model.TUNNELS}
WAYS |= {name + " x": (name, "other") for name in model.TUNNELS}
WAYS |= {"own masq": ("masq", "own"), "own route": ("route", "own"), "own ipip": ("ipip", "own")}


def overhead(service, way):
    """Bytes that a packet grows by."""
    method, whose = WAYS[way]
    if method not in model.TUNNELS or whose == "own":
        return 0
    outer = service.family if whose == "same" else 10 - service.family
    more = {"gre": 4, "gre-csum": 8}.get(method, 12 if method.startswith("gue") else 0)
    return (20 if outer == 4 else 40) + more


class Writer(generator.Writer):
    def __init__(self, seed, number, can):
        super().__init__(seed, number, can)
        self.rng = random.Random(f"{seed} packets {number}")
        self.needs_ftp = False
        self._of_own = set()  # services whose server is the director

    def service_for(self, way, family, kind):
        """A service with servers of one way, such as the kind of packets needs."""
        method, whose = WAYS[way]
        protocol, port, words = NEEDS.get(kind, ("", 0, ""))
        taken = {s.name for s in self.services}
        for _ in range(1000):
            vip = world.address(family, "vip", self.rng.randint(1, world.VIPS))
            of = protocol or self.rng.choice(self.can.protocols)
            made = model.Service(of, vip, port or self.rng.choice(world.SERVICE_PORTS), self.rng.choice(SCHEDULERS))
            if made.name not in taken:
                break
        else:
            return None
        made.persistence = words
        made.flags = edits.flags_for(self.rng, made.scheduler)
        self.needs_ftp |= port == world.FTP_PORT
        self.services.append(made)
        self.rules.append(made.add())
        if whose == "own":
            self._of_own.add(made.name)
            addresses = [world.OWN[family]]
        else:
            addresses = self.addresses(family if whose == "same" else 10 - family, "server")
            # docs/differences.md, kinds-of-tunnel and path-mtus: each has its own.
            first = {"ip": 0, "gr": 2, "gu": 4}.get(method[:2], 6)
            addresses = self.rng.sample(addresses[first : first + 2], self.rng.choice((1, 1, 2)))
        for address in addresses:
            # Where more than one has the director's own port, its own sockets would be in the way.
            other = (made.port, 8080, 5000) if method == "masq" and not port else (made.port,)
            server = model.Server(address, self.rng.choice(other), method, self.rng.choice((1, 2, 5)))
            self.rules.append(made.add_server(server))
        return made

    def flow(self, service, client_port=None):
        """A new one that has begun."""
        index = self._new_flow(service)
        if client_port:
            self.flows[index][2] = client_port
        first = {"tcp": {"flags": "S"}, "sctp": {"chunks": [1]}}.get(service.protocol, {})
        self.send(index, "c", **first)
        if self.rng.random() < 0.7:
            self.send(index, "s", **{"tcp": {"flags": "SA"}, "sctp": {"chunks": [2]}}.get(service.protocol, {}))
        return index

    def send(self, flow, side, **more):
        """A packet without anything odd but what is said."""
        protocol = self.flows[flow][0]
        step = {"kind": protocol, "flow": flow, "side": side}
        step |= {"tcp": {"flags": "A", "seq": 1001}, "sctp": {"chunks": [0]}}.get(protocol, {})
        self.steps.append({**step, **more})

    def sized(self, flow, side, total, **more):
        """The same, so many bytes long."""
        protocol, client = self.flows[flow][:2]
        heads = (40 if ":" in client else 20) + {"tcp": 20, "udp": 8, "sctp": 28}[protocol]
        if protocol == "sctp":
            total -= total % 4
        self.send(flow, side, size=total - heads, **more)

    def is_own(self, service):
        """What is longer than the MTU never comes to Linux from a twin."""
        return service.name in self._of_own

    def _odd_big(self, service, flow):
        if not self.is_own(service):
            super()._odd_big(service, flow)

    def _odd_long(self, service, flow):
        if not self.is_own(service):
            super()._odd_long(service, flow)

    def look(self):
        there = [f"-L -n {s.name}" for s in self.services]
        self.list(self.rng.choice([*LISTINGS, *there]))


# ---- kinds of packets: functions (writer, service, way)


def connections(w, service, way):
    """How flows begin, go on and misbehave."""
    w.traffic(service, 8)


def too_big(w, service, way):
    """With DF, or under IPv6: to the byte what fits, and more."""
    flow, most = w.flow(service), 1500 - overhead(service, way)
    for total in (most, w.rng.choice((most + 1, most + 4)), 1500, w.rng.choice((1600, 4000))):
        w.sized(flow, "c", total, df=True, tos=w.rng.choice((0, 0, 0x28, 3)))
    if WAYS[way][0] == "masq":
        w.sized(flow, "s", w.rng.choice((1500, 1501, 1600)), df=True)


def cut(w, service, way):
    """Without DF: the packet is cut, or that around it."""
    flow, most = w.flow(service), 1500 - overhead(service, way)
    for total in (most, most + 4, w.rng.choice((1500, 1501)), w.rng.choice((1600, 3000, 4501))):
        w.sized(flow, "c", total, df=False, ident=w.rng.randrange(1 << 16), tos=w.rng.choice((0, 0, 8)))
    if WAYS[way][0] == "masq":
        w.sized(flow, "s", w.rng.choice((1501, 1600, 3000)), df=False, ident=w.rng.randrange(1 << 16))


def fragments(w, service, way):
    """Packets that come in fragments, small ones and such as leave in more than they came in."""
    flow = w.flow(service)
    w._odd_fragments(service, flow)
    step = {"kind": "fragment", "of": service.protocol, "flow": flow, "side": "c", "flags": "A", "chunks": [0], "seq": 1001}
    if w.is_own(service):
        return
    for side in ("c", "s") if WAYS[way][0] == "masq" else ("c",):
        most = w.rng.choice((1240, 1480) if service.family == 4 else (1240, 1448))
        pieces = w.rng.randint(2, 3)
        w._fragmented += 1
        step |= {"side": side, "most": most, "size": most * pieces - w.rng.randint(40, 400), "ident": w._fragmented}
        parts = list(range(pieces))
        if w.rng.random() < 0.4:
            w.rng.shuffle(parts)
        w.steps += [{**step, "part": part} for part in parts]


def _icmp(w, service, flow, side, kinds, **more):
    kind, code = w.rng.choice(kinds)
    mtu = (kind, code) in ((2, 0), (3, 4))
    step = {"kind": "error", "flow": flow, "side": side, "type": kind, "code": code}
    step |= {"rest": w.rng.choice((1400, 1300)) if mtu else 0, "cut": w.rng.choice((0, 48 if service.family == 6 else 28))}
    w.steps.append({**step, **more})


ERRORS = {4: ((3, 1), (3, 3), (3, 4), (11, 0), (12, 0)), 6: ((1, 0), (1, 4), (2, 0), (3, 0), (4, 1))}


def client_errors(w, service, way):
    """ICMP about answers, from routers on the clients' side."""
    flow = w.flow(service)
    for _ in range(3):
        _icmp(w, service, flow, "c", ERRORS[service.family])
    w.send(flow, "c")


def server_errors(w, service, way):
    """ICMP about requests, from servers and routers on their side."""
    flow = w.flow(service)
    for _ in range(3):
        _icmp(w, service, flow, "s", ERRORS[service.family])
    w.send(flow, "c")


def inside(w, service, way):
    """ICMP of routers inside a tunnel, and what is too big by what they said."""
    flow, more = w.flow(service), overhead(service, way)
    far6 = (service.family == 6) == (WAYS[way][1] == "same")
    kinds = ((1, 0), (3, 0), (2, 0), (2, 0)) if far6 else ((3, 1), (3, 0), (11, 0), (4, 0), (3, 4), (3, 4))
    for _ in range(w.rng.randint(2, 4)):
        w.sized(flow, "c", w.rng.choice((100, 800)), df=w.rng.random() < 0.7)
        kind, code = w.rng.choice(kinds)
        told = (kind, code) == ((2, 0) if far6 else (3, 4))
        mtu = w.rng.choice((1300, 1400, 1480, 1500, 1600, 1000, 300)) if told else 0
        step = {"kind": "inside", "flow": flow, "type": kind, "code": code, "rest": mtu}
        w.steps.append({**step, "cut": w.rng.choice((0, 0, 28, 40 + more, 48 + more, 120)), "bad_icmp": w.rng.random() < 0.1})
        if told:
            for total in (mtu - more, mtu - more + 4, 1280, 1500 - more):
                if 100 < total < 1600:
                    w.sized(flow, "c", total, df=w.rng.random() < 0.8)


def hops(w, service, way):
    """TTLs that end here, nearly, or are as long as can be; ToS."""
    flow = w.flow(service)
    for ttl in (1, 2, 255):
        w.send(flow, "c", ttl=ttl, tos=w.rng.choice((0, 0x10, 0xB9)), df=w.rng.random() < 0.5)
    w.send(flow, "s", ttl=w.rng.choice((1, 2)))


def ip_options(w, service, way):
    """Options of IPv4, that tunnels leave inside."""
    flow = w.flow(service)
    for options in ("01010101", "9404000001010100", "01" * 40):
        w.send(flow, "c", options=options, df=w.rng.random() < 0.5)
    w.sized(flow, "c", 1496 - overhead(service, way), options="01010101", df=True)


def ipsec(protocol):
    def kind(w, service, way):
        """AH or ESP of a client that has exchanged keys, and of one that has not."""
        stranger = w._new_flow(service)
        flow = w.flow(service, world.ISAKMP_PORT)
        w.flows[stranger][2] = world.ISAKMP_PORT
        others = [a for a in w.addresses(service.family, "client") if a not in {f[1] for f in w.flows}]
        w.flows[stranger][1] = others[0] if others else w.flows[flow][1]
        step = {"kind": "ipsec", "protocol": protocol}
        w.steps.append({**step, "flow": stranger, "side": "c", "size": 40})
        for size, more in ((40, {}), (0, {}), (1000, {"df": False}), (1501, {"df": True}), (40, {"ttl": 1}), (40, {"tos": 8})):
            if size < 1500 or not w.is_own(service):
                w.steps.append({**step, "flow": flow, "side": "c", "size": size, **more})
        for size in (40, 1400):
            w.steps.append({**step, "flow": flow, "side": "s", "size": size})
        if not w.is_own(service):
            w.steps.append({**step, "flow": flow, "side": "c", "size": 3000, "df": False})

    return kind


def sip(w, service, way):
    """Calls: what has one Call-ID goes to one server."""
    client = w.rng.choice(w.addresses(service.family, "client"))
    calls = [f"{w.rng.randrange(1000)}@x" for _ in range(3)]
    for _ in range(8):
        flow = w._new_flow(service)
        if w.rng.random() < 0.8:
            w.flows[flow][1] = client
        call = w.rng.choice(calls)
        text = w.rng.choice((
            f"INVITE sip:b@example.org SIP/2.0\r\nVia: x\r\nCall-ID: {call}\r\n\r\n",
            f"INVITE sip:b@example.org SIP/2.0\r\ni: {call}\r\nCSeq: 1\r\n\r\n",
            f"BYE sip:b@example.org SIP/2.0\r\nCall-ID:{call}\r\n\r\n",
            "OPTIONS sip:x SIP/2.0\r\nFrom: a\r\n\r\n", "no call",
        ))  # fmt: skip
        w.send(flow, "c", text=text)
        if w.rng.random() < 0.5:
            w.send(flow, "s", text=f"SIP/2.0 200 OK\r\nCall-ID: {call}\r\n\r\n")
    w.list("-L -n --persistent-conn")


def ftp(w, service, way):
    """Control connections and the data connections they announce, both ways."""
    control = w._new_flow(service)

    def say(side, text="", flags="PA", **more):
        w.steps.append({"kind": "ftp", "flow": control, "side": side, "say": text, "flags": flags, **more})

    say("c", flags="S")
    say("s", flags="SA")
    say("c", flags="A")
    _, client, _, vip, _ = w.flows[control]
    for _ in range(w.rng.randint(2, 4)):
        port = w.rng.randint(40000, 50000)
        command = w.rng.choice(("PASV", "EPSV", "PORT", "EPRT", "NOOP"))
        say("c", f"{command} {port}" if command in ("PORT", "EPRT") else command)
        say("s", {"PASV": f"227 {port}", "EPSV": f"229 {port}"}.get(command, "200 OK"))
        say("c", flags="A")
        if command == "NOOP":
            continue
        w._port += 1
        passive = command in ("PASV", "EPSV")
        data = [w.flows[control][0], client, w._port if passive else port, vip, port if passive else 20]
        w.flows.append(data)
        index, first = len(w.flows) - 1, ("c", "s") if passive else ("s", "c")
        more = {} if passive else {"like": control}
        for side, flags in zip(first * 3, ("S", "SA", "A", "PA", "FA", "FA")):
            w.send(index, side, flags=flags, size=20 if flags == "PA" else 0, **more)
    if w.rng.random() < 0.5:
        say("s", flags="FA")
        say("c", flags="FA")


def edited(w, service, way):
    """The server is another kind of tunnel, or gone and back, under its connections."""
    flow = w.flow(service)
    server = w.rng.choice(service.servers)
    before = server.method
    if before in model.TUNNELS:
        server.method = w.rng.choice([m for m in model.TUNNELS if m != before])
        w.edit(service.edit_server(server))
    else:
        w.edit(service.delete_server(server))
        w.send(flow, "c")
        service.removed.remove(server)
        w.edit(service.add_server(server))
    w.send(flow, "c")
    w.flow(service)
    server.method = before
    w.edit(service.edit_server(server))
    w.sized(flow, "c", 1500 - overhead(service, way), df=True)


def pmtu_disc(w, service, way):
    """Outer packets without DF."""
    w.edit("--sysctl pmtu_disc=0")
    flow, most = w.flow(service), 1500 - overhead(service, way)
    for total in (100, most, most + 4, 1600):
        w.sized(flow, "c", total, df=w.rng.random() < 0.7)
    w.edit("--sysctl pmtu_disc=1")


KINDS = {
    "connections": connections, "too-big": too_big, "cut": cut, "fragments": fragments,
    "client-errors": client_errors, "server-errors": server_errors, "inside": inside, "hops": hops,
    "options": ip_options, "esp": ipsec(50), "ah": ipsec(51), "sip": sip, "ftp": ftp, "edited": edited,
    "pmtu-disc": pmtu_disc, **refused.KINDS,
}  # fmt: skip
# Protocol, port, persistence that a kind of packets needs.
NEEDS = {
    "esp": ("udp", world.ISAKMP_PORT, ""), "ah": ("udp", world.ISAKMP_PORT, ""),
    "sip": ("udp", world.SIP_PORT, "-p 60 --pe sip"), "ftp": ("tcp", world.FTP_PORT, ""),
    "hop-by-hop": ("udp", 0, ""),  # docs/differences.md, extended-states
}  # fmt: skip


def has(way, family, kind):
    """Is there such a cell? Only masqueraded servers answer through the director; Linux 6.1.176 drops
    FTP over IPv6 (docs/differences.md, ftp-tracked)."""
    method, whose = WAYS[way]
    if kind in refused.FAMILIES:
        # What a raw socket of IPv6 shows begins behind such a header.
        return family in refused.FAMILIES[kind] and not (kind == "hop-by-hop" and whose == "own")
    if kind == "server-errors":
        return way == "masq"
    if kind == "inside":
        return method in model.TUNNELS and whose != "own"
    if kind == "pmtu-disc":
        return family == 4 and way != "own ipip" and method in model.TUNNELS
    if kind in ("cut", "too-big"):
        return whose != "own" and (family == 4 or kind == "too-big")
    if kind == "ftp":  # the director's own stack would reset the data connections
        return family == 4 and whose != "own"
    return family == 4 or kind != "options"


def all_cells(kinds=()):
    return [(way, family, kind) for way in WAYS for family in (4, 6) for kind in KINDS
            if has(way, family, kind) and (not kinds or kind in kinds)]  # fmt: skip


def scenarios_for_all(kinds=()):
    """How many scenarios in a row deal every cell."""
    return -(-len(all_cells(kinds)) // CELLS)


def scenario(seed, number, can, kinds=()):
    """As generator.scenario(); of some kinds only, if any are named."""
    w, cells = Writer(seed, number, can), all_cells(kinds)
    random.Random(f"{seed} cells").shuffle(cells)
    hand = [cells[(number * CELLS + i) % len(cells)] for i in range(min(CELLS, len(cells)))]
    work = [(w.service_for(*cell), cell) for cell in hand]
    for service, (way, _, kind) in work:
        if service is None:
            continue
        KINDS[kind](w, service, way)
        if w.rng.random() < 0.5:
            w.traffic(w.rng.choice([s for s in w.services if s.port in world.SERVICE_PORTS] or [service]), 4)
        if w.rng.random() < 0.3:
            w.look()
    made = [list(cell) for service, cell in work if service]
    return {"seed": seed, "number": number, "rules": w.rules, "flows": w.flows, "steps": w.steps,
            "cells": made, "ftp": w.needs_ftp}  # fmt: skip


def table(seen, kinds=()):
    """Lines: a row for each kind, a column for each way, with the families that were seen."""
    cells = set(all_cells(kinds))
    lines = [" " * 14 + "".join(f"{way:>14}" for way in WAYS)]
    for kind in kinds or KINDS:
        row = f"{kind:<14}"
        for way in WAYS:
            families = [f for f in (4, 6) if (way, f, kind) in cells]
            words = " ".join(f"v{f}" if (way, f, kind) in seen else "EMPTY" for f in families)
            row += f"{words or '-':>14}"
        lines.append(row)
    lines.append(f"{len(cells & seen)} of {len(cells)} cells, {len(cells - seen)} empty")
    return lines
