"""The packets of a random scenario: how flows begin, go on and misbehave.

What may happen to a flow is a row of ODD; a new kind of traffic is another row and its method.
generator.py's Writer is a Packets with services and edits.
"""

import random

import world

POLITE = {"c": ("A", "PA", "FA", "A"), "s": ("SA", "A", "PA", "FA")}
RUDE = {"c": ("S", "A", "FA", "R", "RA", "SA", "F", "", "PA"), "s": ("SA", "A", "FA", "R", "S", "RA", "")}

# Chunk types of SCTP packets. A server begins no association: its INIT finds none.
POLITE_SCTP = {"c": ([10], [10, 0], [0], [3], [7], [14]), "s": ([2], [11], [11, 0], [0], [3], [8])}
RUDE_SCTP = {"c": ([1], [2], [6], [8], [9], [10, 6], [11], [4], [0, 6], [192]), "s": ([1], [6], [7], [9], [10], [11, 6], [14])}

# What does not belong to a well-behaved connection: {name: how often}, for all, for a protocol of
# the flow, and for a family.
ODD = {
    "": {"ttl": 1, "echo": 1, "stray": 1, "elsewhere": 1, "strange": 1, "rude": 1, "big": 1},
    "tcp": {"bad_tcp": 2, "error": 2},
    "udp": {"error": 2},
    "sctp": {"bad_sctp": 2, "error": 2},
    4: {"bad_sum": 1, "options": 1},
    ("udp", 4): {"no_sum": 2},
}


class Packets:
    """Writes steps with packets; whoever derives from it knows the protocols_of(service)."""

    def __init__(self, rng):
        self.rng = rng
        self.flows, self.steps, self.flows_of = [], [], {}
        self._port = rng.randint(1024, 20000)
        self._fragmented = 0
        # Flows that live long have dice of their own: they change nothing about the others.
        self._calm, self._calm_port, self._steady = random.Random(), 40000, []
        self._calm.setstate(rng.getstate())

    def packets(self):
        return sum("flow" in s for s in self.steps)

    def addresses(self, family, kind):
        most = {"server": world.SERVERS, "client": world.CLIENTS}[kind]
        return [world.address(family, kind, n) for n in range(1, most + 1)]

    def traffic(self, service, packets=None):
        for _ in range(packets or self.rng.randint(2, 6)):
            self._packet(service)
        if self._calm.random() < 0.12:
            self._begin_steady(service)
        for _ in range(self._calm.randint(0, 2) if self._steady else 0):
            self._go_on(self._calm.choice(self._steady[-6:]), self._calm.choice("ccs"))

    def _begin_steady(self, service):
        """A flow with so many packets that its session need not be looked at any more, and which goes
        on whatever is edited."""
        protocols = [p for p in self.protocols_of(service) if p != "sctp"]
        if service.family != 4 or not protocols:
            return
        self._calm_port += 1
        client = self._calm.choice(self.addresses(4, "client"))
        port = service.port or self._calm.choice(world.SERVICE_PORTS)
        self.flows.append([self._calm.choice(protocols), client, self._calm_port, service.vip, port])
        flow = len(self.flows) - 1
        self._steady.append(flow)
        self._go_on(flow, "c", "S")
        self._go_on(flow, "s", "SA")
        for place in range(12):
            self._go_on(flow, "ccs"[place % 3])

    def _go_on(self, flow, side, flags="A"):
        step = {"kind": self.flows[flow][0], "flow": flow, "side": side}
        if step["kind"] == "tcp":
            step |= {"flags": flags, "seq": self._calm.randrange(1 << 32)}
        self.steps.append(step)

    def _new_flow(self, service):
        self._port += self.rng.randint(1, 3)
        client = self.rng.choice(self.addresses(service.family, "client"))
        ports = world.SERVICE_PORTS if service.mark else world.SERVICE_PORTS + world.OTHER_PORTS
        port = service.port or self.rng.choice(ports)
        flow = [self.rng.choice(self.protocols_of(service)), client, self._port, service.vip, port]
        if self.flows and self.rng.random() < 0.2:
            flow[1:3] = self._endpoint_of_another(service, flow)
        self.flows.append(flow)
        self.flows_of.setdefault(service.name, []).append(len(self.flows) - 1)
        return len(self.flows) - 1

    def _endpoint_of_another(self, service, flow):
        """The client's address and port of another flow: both have the same answers if they meet at
        one port of a server. Not to the same port of the virtual address: that would be the flow."""
        clients = self.addresses(service.family, "client")  # others are nobody (refused.py)
        others = [f for f in self.flows if f[1] in clients and f[3:] != flow[3:]]
        likely = [f for f in others if f[0] == flow[0] and f[4] == flow[4]]
        for _, client, port, *_ in self.rng.sample(likely or others, min(len(likely or others), 4)):
            if all(f[1:] != [client, port, *flow[3:]] for f in self.flows):
                return client, port
        return flow[1:3]

    def _packet(self, service):
        old = self.flows_of.get(service.name, [])
        if old and self.rng.random() < 0.04:
            flow = self.rng.choice(old[-8:])
            self._odd_fragments(service, flow)
            if service.family == 4:
                self._odd_long(service, flow)
        chance = self.rng.random()
        if not old or chance < 0.45:
            if self.rng.random() < 0.1:
                self._odd(service, self._new_flow(service))
            else:
                self.begin(service)
            return
        flow = self.rng.choice(old[-8:])
        if chance < 0.93:
            self._send(flow, self.rng.choice("ccs"))
        else:
            self._odd(service, flow)

    def begin(self, service):
        """The first packet of a new flow."""
        flow = self._new_flow(service)
        protocol = self.flows[flow][0]
        first = {"tcp": {"flags": "S"}, "sctp": {"chunks": [1]}}.get(protocol, {})
        if protocol == "tcp" and self.rng.random() < 0.08:
            first = {"flags": self.rng.choice(("SA", "SR", "SP", "A", "R", "FA", ""))}
        self._send(flow, "c", **first)

    def _send(self, flow, side, **more):
        protocol = self.flows[flow][0]
        step = {"kind": protocol, "flow": flow, "side": side}
        if protocol == "tcp":
            manners = POLITE if self.rng.random() < 0.6 else RUDE
            step["flags"] = self.rng.choice(manners[side])
            step["seq"] = self.rng.randrange(1 << 32)
        elif protocol == "sctp":
            manners = POLITE_SCTP if self.rng.random() < 0.7 else RUDE_SCTP
            step["chunks"] = self.rng.choice(manners[side])
        if self.rng.random() < 0.4:
            step["size"] = self.rng.choice((0, 1, 7, 100, 1001, 1400))
        if self.rng.random() < 0.15:
            step["tos"] = self.rng.choice((0x10, 0xB8, 3))
        if self.rng.random() < 0.15:
            step["df"] = False
            step["ident"] = self.rng.randrange(1 << 16)
        if self.rng.random() < 0.05:
            step["ttl"] = self.rng.choice((2, 3, 255))
        step.update(more)
        self.steps.append(step)

    def _odd(self, service, flow):
        protocol = self.flows[flow][0]
        chances = {}
        for key in "", protocol, service.family, (protocol, service.family):
            chances.update(ODD.get(key, {}))
        [name] = self.rng.choices(list(chances), list(chances.values()))
        getattr(self, "_odd_" + name)(service, flow)

    def _odd_ttl(self, service, flow):
        self._send(flow, "c", ttl=1)

    def _odd_rude(self, service, flow):
        self._send(flow, "c")

    def _odd_bad_tcp(self, service, flow):
        self._send(flow, "c", bad_tcp=True)

    def _odd_bad_sctp(self, service, flow):
        self._send(flow, self.rng.choice("cs"), bad_sctp=True)

    def _odd_no_sum(self, service, flow):
        self._send(flow, self.rng.choice("cs"), no_sum=True)

    def _odd_bad_sum(self, service, flow):
        self._send(flow, "c", bad_sum=True)

    def _odd_options(self, service, flow):
        self._send(flow, "c", options="01010101")

    def _odd_big(self, service, flow):
        """Longer than the MTU, and not to be fragmented."""
        self._send(flow, "c", size=1600, df=True)

    def _odd_long(self, service, flow):
        """Longer than the MTU, and to be fragmented."""
        step = {"kind": self.flows[flow][0], "flow": flow, "side": "c", "df": False, "flags": "A", "chunks": [0]}
        self.steps.append({**step, "size": self.rng.choice((1501, 1600))})

    def _odd_fragments(self, service, flow):
        """A packet in fragments of one length, in any order, sometimes twice, sometimes not all."""
        protocol = self.flows[flow][0]
        most, pieces = self.rng.choice((104, 208, 1240)), self.rng.randint(2, 4)
        step = {"kind": "fragment", "of": protocol, "flow": flow, "side": self.rng.choice("ccs")}
        step |= {"most": most, "size": most * pieces - self.rng.randint(40, 100)}
        if protocol == "tcp":
            step |= {"flags": self.rng.choice(("A", "PA")), "seq": self.rng.randrange(1 << 32)}
        elif protocol == "sctp":
            step["chunks"] = [0]
        else:
            step["no_sum"] = service.family == 4 and self.rng.random() < 0.3
        # Each has an id of its own: a lost fragment waits for 30 seconds.
        self._fragmented += 1
        step["ident"] = self._fragmented
        parts = list(range(pieces))
        if self.rng.random() < 0.4:
            self.rng.shuffle(parts)
        if self.rng.random() < 0.15:
            parts.pop()
        if self.rng.random() < 0.15:
            parts.insert(0, parts[-1])
        self.steps += [{**step, "part": part} for part in parts]

    def _odd_echo(self, service, flow):
        self.steps.append({"kind": "echo", "flow": flow})

    def _odd_strange(self, service, flow):
        """A protocol that is not balanced, or a header that is cut off."""
        choice = self.rng.choice(("gre", "tcp", "udp"))
        flow = self._new_flow(service)
        self.flows_of[service.name].remove(flow)
        self.steps.append({"kind": "strange", "flow": flow, "protocol": choice, "size": self.rng.choice((4, 7, 12))})

    def _odd_elsewhere(self, service, flow):
        """To a port of the virtual address without a service, or from FTP's data port."""
        protocol, client, port, vip, vport = self.flows[flow]
        if self.rng.random() < 0.3:
            self.flows.append([protocol, client, 20, vip, vport])
        else:
            self.flows.append([protocol, client, port, vip, self.rng.choice(world.OTHER_PORTS)])
        self._send(len(self.flows) - 1, "c", **({"flags": self.rng.choice("SA")} if protocol == "tcp" else {}))

    def _odd_stray(self, service, flow):
        """A server's packet that belongs to no flow."""
        port = self.rng.choice((service.port or 80, 8080, 5555))
        address = self.rng.choice(self.addresses(service.family, "server"))
        step = {"kind": "stray", "flow": self._new_flow(service), "server": [address, port]}
        self.steps.append({**step, "udp": self.rng.choice(self.protocols_of(service)) == "udp"})

    def errors(self, service):
        """About flows that have not begun, some of which may begin so (schedule_icmp)."""
        for _ in range(self.rng.randint(1, 4)):
            flow = self._new_flow(service)
            self._odd_error(service, flow, "c")
            if self.rng.random() < 0.5:
                self._send(flow, "c")

    def _odd_error(self, service, flow, side=None):
        rng = self.rng
        six = (1, 0), (1, 4), (2, 0), (3, 0), (4, 1), (100, 0)
        kinds = six if service.family == 6 else ((3, 1), (3, 3), (3, 4), (11, 0), (4, 0), (12, 0))
        kind, code = rng.choice(kinds)
        mtu = (kind, code) in ((2, 0), (3, 4))
        cut = rng.choice((0, 48)) if service.family == 6 else rng.choice((0, 28))
        step = {"kind": "error", "flow": flow, "side": side or rng.choice("cs"), "type": kind, "code": code}
        self.steps.append({**step, "rest": 1400 if mtu else 0, "cut": cut, "bad_icmp": rng.random() < 0.1})
