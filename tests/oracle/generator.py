"""Random scenarios: rules, and steps of traffic with edits in flight.

scenario(seed, number, can) depends on nothing else. The cells of the coverage table (coverage.py)
are dealt like cards: each scenario has services of some schedulers and forms, and makes on them
the edits that are due, so that every cell comes up within scenarios_for_all(can) numbers.
"""

import random

import coverage
import edits
import model
import packets
import world

SERVICES = 5  # of one scenario
EDITS_PER_SERVICE = 7
LEAST_PACKETS, LEAST_EDITS, LEAST_SERVICES = 200, 5, 3
# Seconds: until counters are copied (2), a knob is looked at (1), timeouts of a second are over. No
# few of them are near the timeouts of 4 and 10 seconds, with the time that packets take.
WAIT = 4.4
LISTINGS = ("-L -n", "-L -n --exact", "-L -n --thresholds", "-L -n --persistent-conn", "-L -n --sort", "-S -n", "-L -n -c")
COUNTED = ("-L -n --stats --exact", "-L -n --stats")


def services_of(seed, number, can):
    """[(scheduler, form, [(method, kind of edit)])] of a scenario: its hand of cards."""
    pairs = [(s, f) for s in can.schedulers for f in can.forms]
    random.Random(f"{seed} pairs").shuffle(pairs)
    hand = []
    for place in range(number * SERVICES, (number + 1) * SERVICES):
        turn, index = divmod(place, len(pairs))
        scheduler, form = pairs[index]
        cells = coverage.edits_of(can, form)
        random.Random(f"{seed} {scheduler} {form}").shuffle(cells)
        start = turn * EDITS_PER_SERVICE
        due = [cells[(start + i) % len(cells)] for i in range(EDITS_PER_SERVICE)]
        hand.append((scheduler, form, due))
    return hand


def scenarios_for_all(can):
    """How many scenarios in a row deal every cell."""
    pairs = len(can.schedulers) * len(can.forms)
    most = max(len(coverage.edits_of(can, f)) for f in can.forms)
    turns = -(-most // EDITS_PER_SERVICE)
    return -(-pairs * turns // SERVICES)


class Writer(packets.Packets):
    """Writes one scenario."""

    def __init__(self, seed, number, can):
        super().__init__(random.Random(f"{seed}/{number}"))
        self.can = can
        self.rules, self.services = [], []

    def service(self, scheduler, form):
        """A new one, with servers of each method, on an address of a random family."""
        taken = {s.name for s in self.services}
        while True:
            family = self.rng.choice((4, 6))
            if len(self.services) < 2:
                family = (4, 6)[len(self.services)]
            made = self._place(scheduler, form, family)
            if made.name not in taken:
                break
        made.flags = edits.flags_for(self.rng, scheduler)
        if form == "any" or "persistence" in self.can.options and self.rng.random() < 0.15:
            made.persistence = edits.persistence_words(self.rng, made)
        elif "one-packet" in self.can.options and form == "udp" and self.rng.random() < 0.1:
            made.one_packet = True
        self.services.append(made)
        self.rules.append(made.add())
        for _ in range(self.rng.randint(1, 4)):
            if server := edits.new_server(self, made, self.rng.choice(self.can.methods)):
                self.rules.append(made.add_server(server))
        return made

    def _place(self, scheduler, form, family):
        number = self.rng.randint(1, world.VIPS)
        if form == "fwm":
            number = world.VIPS + self.rng.randint(1, world.MARKED)
            return model.Service(form, world.address(family, "vip", number), 0, scheduler, mark=number)
        vip = world.address(family, "vip", number)
        if form == "any":
            return model.Service(self.rng.choice(self.can.protocols), vip, 0, scheduler)
        return model.Service(form, vip, self.rng.choice(world.SERVICE_PORTS), scheduler)

    def ends_of_servers(self, service):
        """Addresses and ports that other services have for servers."""
        return {(s.address, s.port) for each in self.services if each is not service for s in each.servers}

    def protocols_of(self, service):
        return self.can.protocols if service.mark else [service.protocol]

    # ---- what happens

    def edit(self, command):
        self.steps.append({"kind": "edit", "command": command})
        if self.rng.random() < 0.1:
            there = [f"-L -n {s.name}" for s in self.services if s.is_there]
            self.list(self.rng.choice([*LISTINGS, *there]))

    def list(self, words):
        self.steps.append({"kind": "list", "words": words})

    def wait(self):
        self.steps.append({"kind": "wait", "seconds": WAIT})

    def quiet_edits(self, work):
        """Edits of edits.QUIET, all when the kernel has just copied its counters."""
        for service, method, _ in work:
            edits.one_of(self, service, method)
        self.wait()
        self.list(self.rng.choice(COUNTED))
        rests = [edits.QUIET[kind](self, service, method) for service, method, kind in work]
        for service, _, _ in work:
            self.traffic(service)
        for rest in filter(None, rests):
            rest()


def scenario(seed, number, can):
    """{"seed", "number", "rules", "flows", "steps", "cells"}; flows are named by their index."""
    writer = Writer(seed, number, can)
    work, quiet, cells = [], [], []
    for scheduler, form, due in services_of(seed, number, can):
        service = writer.service(scheduler, form)
        for method, kind in due:
            (quiet if kind in edits.QUIET else work).append((service, method, kind))
            cells.append([scheduler, method, form, kind])
    writer.rng.shuffle(work)
    writer.rng.shuffle(quiet)
    for service in writer.services:
        writer.traffic(service, 6)
    kinds = edits.kinds(can)
    middle = writer.rng.randint(len(work) // 3, len(work) * 2 // 3)
    for place, (service, method, kind) in enumerate(work):
        if place == middle and quiet:
            writer.quiet_edits(quiet)
        kinds[kind](writer, service, method)
        writer.traffic(service)
        if writer.rng.random() < 0.4:
            writer.traffic(writer.rng.choice(writer.services), 3)
    while writer.packets() < LEAST_PACKETS * 5 // 4:
        writer.traffic(writer.rng.choice(writer.services), 5)
    return {"seed": seed, "number": number, "rules": writer.rules, "flows": writer.flows,
            "steps": writer.steps, "cells": cells}  # fmt: skip
