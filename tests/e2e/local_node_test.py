#!/usr/bin/env python3
"""A real server on the director itself, next to one on a host of its own: masqueraded, its answers
come back from the virtual address; directly routed or by a tunnel, it has the virtual address."""

import os
import socket
import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

PORTS = range(20000, 20006)
LONG = os.urandom(5000)  # of a datagram: four fragments
TWO_WORKERS = "workers = 2\nsessions = 65536\n"


def start_servers(network):
    """On the director, once its addresses are there, and on s1."""
    ends = {
        "director": ["10.2.0.1:8443", "[2001:db8:2::1]:8443", f"{network.vip}:81", f"[{network.vip6}]:81"],
        "s1": [f"{network.servers['s1']}:8443", f"[{network.servers6['s1']}]:8443"],
    }
    for name, own in ends.items():
        server = network.lab.start(name, appliance.SERVER, name, *own)
        lab.wait_until(
            lambda p=server: "ready" in network.lab.log_of(p), f"server {name} did not come up"
        )


def services(shuntd, network):
    for vip, own, other in (
        (network.vip, "10.2.0.1", network.servers["s1"]),
        (f"[{network.vip6}]", "[2001:db8:2::1]", f"[{network.servers6['s1']}]"),
    ):
        for kind in "-t", "-u":
            shuntd.adm("-A", kind, f"{vip}:443", "-s", "rr")
            for server in own, other:
                shuntd.adm("-a", kind, f"{vip}:443", "-r", f"{server}:8443", "-m")
        shuntd.adm("-A", "-t", f"{vip}:81", "-s", "rr")
        shuntd.adm("-a", "-t", f"{vip}:81", "-r", f"{own}:81", "-g")
        shuntd.adm("-A", "-t", f"{vip}:82", "-s", "rr")
        shuntd.adm("-a", "-t", f"{vip}:82", "-r", f"{own}:9", "-m")


def masqueraded(cases, network, how, two_workers):
    for vip, mine in ((network.vip, network.client), (network.vip6, network.client6)):
        with cases.case(f"{how}: {vip}, masqueraded, the director and s1 answer in turn"):
            replies = client.get(network, vip, 443, PORTS)
            answered = client.by_server(replies)
            # Each worker takes turns by itself, and one of two has three of six clients at least.
            expect(answered.keys() == {"director", "s1"}, f"{answered}")
            expect(two_workers or answered["director"] == answered["s1"] == 3, f"{answered}")
            expect(all(r.saw == mine and r.saw_port == r.port for r in replies), f"{replies}")
        with cases.case(f"{how}: {vip}, a refused connection is refused by the virtual address"):
            family = socket.AF_INET6 if ":" in vip else socket.AF_INET
            with network.lab.inside("client"), socket.socket(family) as probe:
                probe.settimeout(5)
                status = probe.connect_ex((vip, 82))
            expect(os.strerror(status) == "Connection refused", os.strerror(status))
    with cases.case(f"{how}: datagrams in fragments, both ways"):
        seen = set()
        for port in PORTS:
            got = client.datagram(network, network.vip, 443, port, LONG)
            expect(got is not None and got[3] == LONG, f"client port {port}: {got and got[:3]}")
            seen.add(got[0])
        expect(seen == {"director", "s1"}, f"{seen}")


def direct(cases, network, shuntd, how):
    for vip in network.vip, network.vip6:
        brackets = f"[{vip}]" if ":" in vip else vip
        own = "[2001:db8:2::1]" if ":" in vip else "10.2.0.1"
        for name, options in (("directly routed", ["-g"]), ("by a tunnel", ["-i"])):
            with cases.case(f"{how}: {vip}, {name}, the director answers as the virtual address"):
                shuntd.adm("-e", "-t", f"{brackets}:81", "-r", f"{own}:81", *options)
                replies = client.get(network, vip, 81, PORTS)
                expect(client.by_server(replies) == {"director": len(PORTS)}, f"{replies}")


def part(cases, how, two_workers):
    with Lab("local") as here:
        network = lab.two_networks(here)
        shuntd = Appliance(
            network, console=True, conf=TWO_WORKERS if two_workers else "",
            device=appliance.DEVICE + (",qpairs=2" if two_workers else ""),
        )  # fmt: skip
        shuntd.start()
        start_servers(network)
        services(shuntd, network)
        failed = cases.failed
        masqueraded(cases, network, how, two_workers)
        direct(cases, network, shuntd, how)
        if cases.failed > failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    part(cases, "one worker", False)
    part(cases, "two workers", True)
    return cases.done()


sys.exit(main())
