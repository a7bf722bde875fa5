"""Random scenarios: rules, and steps of traffic with edits in flight.

scenario(seed, number, can) depends on nothing else. The cells of the coverage table (coverage.py)
are dealt like cards: each scenario has services of some schedulers and protocols, and makes on them
the edits that are due, so that every cell comes up within scenarios_for_all(can) numbers.
"""

import random

import coverage
import edits
import model
import traffic
import world

SERVICES = 5  # of one scenario
EDITS_PER_SERVICE = 6
LEAST_PACKETS, LEAST_EDITS, LEAST_SERVICES = 200, 5, 3

POLITE = {"c": ("A", "PA", "FA", "A"), "s": ("SA", "A", "PA", "FA")}
RUDE = {"c": ("S", "A", "FA", "R", "RA", "SA", "F", "", "PA"), "s": ("SA", "A", "FA", "R", "S", "RA", "")}

# Chunk types of SCTP packets. A server begins no association: its INIT finds none.
POLITE_SCTP = {"c": ([10], [10, 0], [0], [3], [7], [14]), "s": ([2], [11], [11, 0], [0], [3], [8])}
RUDE_SCTP = {"c": ([1], [2], [6], [8], [9], [10, 6], [11], [4], [0, 6], [192]), "s": ([1], [6], [7], [9], [10], [11, 6], [14])}


def services_of(seed, number, can):
    """[(scheduler, protocol, [(method, kind of edit)])] of a scenario: its hand of cards."""
    pairs = [(s, p) for s in can.schedulers for p in can.protocols]
    random.Random(f"{seed} pairs").shuffle(pairs)
    hand = []
    for place in range(number * SERVICES, (number + 1) * SERVICES):
        turn, index = divmod(place, len(pairs))
        scheduler, protocol = pairs[index]
        cells = coverage.edits_of(can, protocol)
        random.Random(f"{seed} {scheduler} {protocol}").shuffle(cells)
        start = turn * EDITS_PER_SERVICE
        due = [cells[(start + i) % len(cells)] for i in range(EDITS_PER_SERVICE)]
        hand.append((scheduler, protocol, due))
    return hand


def scenarios_for_all(can):
    """How many scenarios in a row deal every cell."""
    pairs = len(can.schedulers) * len(can.protocols)
    most = max(len(coverage.edits_of(can, p)) for p in can.protocols)
    turns = -(-most // EDITS_PER_SERVICE)
    return -(-pairs * turns // SERVICES)


class Writer:
    """Writes one scenario."""

    def __init__(self, seed, number, can):
        self.rng = random.Random(f"{seed}/{number}")
        self.sizes = random.Random(f"{seed}/{number} sizes")  # of what is cut, and when
        self.can = can
        self.flows, self.rules, self.steps = [], [], []
        self.services, self.flows_of = [], {}
        self._port = self.rng.randint(1024, 20000)

    # ---- who there is

    def addresses(self, family, kind):
        most = {"server": world.SERVERS, "client": world.CLIENTS, "vip": world.VIPS}[kind]
        return [world.address(family, kind, n) for n in range(1, most + 1)]

    def service(self, scheduler, protocol):
        """A new one, with servers of each method, on an address of a random family."""
        taken = {(s.protocol, s.vip, s.port) for s in self.services}
        while True:
            family = self.rng.choice((4, 6))
            if len(self.services) < 2:
                family = (4, 6)[len(self.services)]
            vip, port = self.rng.choice(self.addresses(family, "vip")), self.rng.choice((80, 443, 53))
            if (protocol, vip, port) not in taken:
                break
        made = model.Service(protocol, vip, port, scheduler, edits.flags_for(self.rng, scheduler))
        if "persistence" in self.can.options and self.rng.random() < 0.15:
            made.persistence = edits.persistence_words(self.rng, made)
        elif "one-packet" in self.can.options and protocol == "udp" and self.rng.random() < 0.1:
            made.one_packet = True
        self.services.append(made)
        self.flows_of[made.name] = []
        self.rules.append(made.add())
        for _ in range(self.rng.randint(1, 4)):
            if server := edits.new_server(self, made, self.rng.choice(self.can.methods)):
                self.rules.append(made.add_server(server))
        return made

    # ---- what happens

    def edit(self, command):
        self.steps.append({"kind": "edit", "command": command})

    def traffic(self, service, packets=None):
        for _ in range(packets or self.rng.randint(2, 6)):
            self._packet(service)

    def _new_flow(self, service):
        self._port += self.rng.randint(1, 3)
        client = self.rng.choice(self.addresses(service.family, "client"))
        # Each has a port of its own: two sessions of one client endpoint may collide behind a
        # server they share, which docs/differences.md tells about.
        self.flows.append([service.protocol, client, self._port, service.vip, service.port])
        self.flows_of[service.name].append(len(self.flows) - 1)
        return len(self.flows) - 1

    def _packet(self, service):
        if self.flows_of[service.name] and self.sizes.random() < 0.04:
            flow = self.sizes.choice(self.flows_of[service.name][-8:])
            self._odd_fragments(service, flow)
            if service.family == 4:
                self._odd_long(service, flow)
        old = self.flows_of[service.name]
        chance = self.rng.random()
        if not old or chance < 0.45:
            flow = self._new_flow(service)
            first = {"tcp": {"flags": "S"}, "sctp": {"chunks": [1]}}.get(service.protocol, {})
            if service.protocol == "tcp" and self.rng.random() < 0.08:
                first = {"flags": self.rng.choice(("SA", "SR", "SP", "A", "R", "FA", ""))}
            if self.rng.random() < 0.1:
                self._odd(service, flow)
            else:
                self._send(service, flow, "c", **first)
            return
        flow = self.rng.choice(old[-8:])
        if chance < 0.93:
            self._send(service, flow, self.rng.choice("ccs"))
        else:
            self._odd(service, flow)

    def _send(self, service, flow, side, **more):
        step = {"kind": service.protocol, "flow": flow, "side": side}
        if service.protocol == "tcp":
            manners = POLITE if self.rng.random() < 0.6 else RUDE
            step["flags"] = self.rng.choice(manners[side])
            step["seq"] = self.rng.randrange(1 << 32)
        elif service.protocol == "sctp":
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
        """What does not belong to a well-behaved connection."""
        choices = ["ttl", "echo", "error", "error", "stray", "elsewhere", "strange", "rude"]
        choices += {"tcp": ["bad_tcp", "bad_tcp"], "udp": ["no_sum"] * 2 * (service.family == 4), "sctp": ["bad_sctp"] * 2}.get(service.protocol, [])
        choices += ["bad_sum", "options", "big"] if service.family == 4 else ["big"]
        getattr(self, "_odd_" + self.rng.choice(choices))(service, flow)

    def _odd_ttl(self, service, flow):
        self._send(service, flow, "c", ttl=1)

    def _odd_rude(self, service, flow):
        self._send(service, flow, "c")

    def _odd_bad_tcp(self, service, flow):
        self._send(service, flow, "c", bad_tcp=True)

    def _odd_bad_sctp(self, service, flow):
        self._send(service, flow, self.rng.choice("cs"), bad_sctp=True)

    def _odd_no_sum(self, service, flow):
        self._send(service, flow, self.rng.choice("cs"), no_sum=True)

    def _odd_bad_sum(self, service, flow):
        self._send(service, flow, "c", bad_sum=True)

    def _odd_options(self, service, flow):
        self._send(service, flow, "c", options="01010101")

    def _odd_big(self, service, flow):
        """Longer than the MTU, and not to be fragmented."""
        self._send(service, flow, "c", size=1600, df=True)

    def _odd_long(self, service, flow):
        """Longer than the MTU, and to be fragmented."""
        step = {"kind": service.protocol, "flow": flow, "side": "c", "df": False, "flags": "A", "chunks": [0]}
        self.steps.append({**step, "size": self.sizes.choice((1501, 1600))})

    def _odd_fragments(self, service, flow):
        """A packet in fragments of one length, in any order, sometimes twice, sometimes not all."""
        most, pieces = self.sizes.choice((104, 208, 1240)), self.sizes.randint(2, 4)
        step = {"kind": "fragment", "of": service.protocol, "flow": flow, "side": self.sizes.choice("ccs")}
        step |= {"most": most, "size": most * pieces - self.sizes.randint(40, 100)}
        if service.protocol == "tcp":
            step |= {"flags": self.sizes.choice(("A", "PA")), "seq": self.sizes.randrange(1 << 32)}
        elif service.protocol == "sctp":
            step["chunks"] = [0]
        else:
            step["no_sum"] = service.family == 4 and self.sizes.random() < 0.3
        # Each has an id of its own: a lost fragment waits for 30 seconds.
        self._fragmented = getattr(self, "_fragmented", 0) + 1
        step["ident"] = self._fragmented
        parts = list(range(pieces))
        if self.sizes.random() < 0.4:
            self.sizes.shuffle(parts)
        if self.sizes.random() < 0.15:
            parts.pop()
        if self.sizes.random() < 0.15:
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
        protocol = service.protocol
        if self.rng.random() < 0.3:
            client = self.rng.choice(self.addresses(service.family, "client"))
            self.flows.append([protocol, client, 20, service.vip, service.port])
        else:
            _, client, port, vip, _ = self.flows[flow]
            self.flows.append([protocol, client, port, vip, self.rng.choice((9, 8080))])
        self._send(service, len(self.flows) - 1, "c", **({"flags": self.rng.choice("SA")} if protocol == "tcp" else {}))

    def _odd_stray(self, service, flow):
        rng = self.rng
        port = rng.choice((service.port, 8080, 5555))
        address = rng.choice(self.addresses(service.family, "server"))
        step = {"kind": "stray", "flow": self._new_flow(service), "server": [address, port]}
        self.steps.append({**step, "udp": service.protocol == "udp"})

    def _odd_error(self, service, flow):
        if service.protocol != "sctp":
            self._error(service, flow)

    def _error(self, service, flow):
        rng = self.rng
        kinds = ((1, 0), (1, 4), (2, 0), (3, 0)) if service.family == 6 else ((3, 1), (3, 3), (3, 4), (11, 0), (4, 0), (12, 0))
        kind, code = rng.choice(kinds)
        if service.family == 6 and self.sizes.random() < 0.3:
            kind, code = self.sizes.choice(((4, 1), (100, 0)))
        mtu = (kind, code) in ((2, 0), (3, 4))
        cut = rng.choice((0, 48)) if service.family == 6 else rng.choice((0, 28))
        step = {"kind": "error", "flow": flow, "side": rng.choice("cs"), "type": kind, "code": code}
        self.steps.append({**step, "rest": 1400 if mtu else 0, "cut": cut, "bad_icmp": self.sizes.random() < 0.1})


def scenario(seed, number, can):
    """{"seed", "number", "rules", "flows", "steps", "cells"}; flows are named by their index."""
    writer = Writer(seed, number, can)
    work, cells = [], []
    for scheduler, protocol, due in services_of(seed, number, can):
        service = writer.service(scheduler, protocol)
        for method, kind in due:
            work.append((service, method, kind))
            cells.append([scheduler, method, protocol, kind])
    writer.rng.shuffle(work)
    for service in writer.services:
        writer.traffic(service, 6)
    kinds = edits.kinds(can)
    for service, method, kind in work:
        kinds[kind](writer, service, method)
        writer.traffic(service)
        if writer.rng.random() < 0.5:
            writer.traffic(writer.rng.choice(writer.services), 3)
    while sum(s["kind"] != "edit" for s in writer.steps) < LEAST_PACKETS * 5 // 4:
        writer.traffic(writer.rng.choice(writer.services), 5)
    return {"seed": seed, "number": number, "rules": writer.rules, "flows": writer.flows,
            "steps": writer.steps, "cells": cells}  # fmt: skip
