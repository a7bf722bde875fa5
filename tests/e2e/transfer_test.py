#!/usr/bin/env python3
"""Bytes through the appliance: a large download and long datagrams over NAT and direct routing, on
one worker; and on two, which share each port by the kernel's flow hash, with many at once.

transfer_test.py [MEGABYTES]    of the large download: 256; acceptance runs 1024
"""

import json
import os
import sys
import time

import appliance
import client
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

LOAD = appliance.SERVER.replace("server.py", "load.py")
LONG = os.urandom(60000)  # of a datagram: 41 fragments on Ethernet
PARALLEL = 200
TWO_WORKERS = "workers = 2\nsessions = 65536\n"


def rules(network, method, server_port):
    lines = []
    for flag in ("-t", "-u"):
        lines.append(f"-A {flag} {network.vip}:443 -s mh -b mh-port")
        for address in network.servers.values():
            lines.append(f"-a {flag} {network.vip}:443 -r {address}:{server_port} {method}")
    return "\n".join(lines) + "\n"


def fetch(network, megabytes, connections, within):
    text = network.lab.run(
        "client", sys.executable, LOAD, "fetch", network.vip, "443", str(megabytes << 20), str(connections),
        timeout=within,
    )  # fmt: skip
    print(f"# {connections} x {megabytes} MB: {text.strip()}")
    return json.loads(text)


def large(cases, network, how, megabytes):
    with cases.case(f"{how}: a download of {megabytes} MB has the right digest"):
        got = fetch(network, megabytes, 1, within=60 + megabytes)
        expect(got["whole"] == 1, f"{got['wrong']}")


def datagrams(cases, network, shuntd, how):
    with cases.case(f"{how}: datagrams of {len(LONG)} bytes arrive whole, in fragments"):
        before = shuntd.port_stats()
        for port in range(20000, 20012):
            got = client.datagram(network, network.vip, 443, port, LONG)
            expect(got is not None, f"no answer to client port {port}: {shuntd.port_stats().dropped}")
            expect(got[1:3] == (network.client, port), f"the server saw {got[1:3]}")
            expect(got[3] == LONG, f"{len(got[3])} bytes came back of {len(LONG)}, or others")
        received = shuntd.port_stats().received - before.received
        expect(received > 12 * 40, f"only {received} packets came: who put the fragments together?")


def many(cases, network, shuntd):
    with cases.case(f"two workers: {PARALLEL} downloads of 1 MB at once have the right digest"):
        got = fetch(network, 1, PARALLEL, within=120)
        expect(got["whole"] == PARALLEL, f"{got['wrong']}")
    stats = shuntd.port_stats()
    with cases.case("two workers: each takes its share of the packets"):
        print(f"# received by worker: {stats.workers}; mailbox crossings: {stats.crossings}")
        for number, packets in enumerate(stats.workers):
            expect(packets > 0.2 * stats.received, f"worker {number} took {packets} of {stats.received}")
        expect(stats.crossings > 0, "no flow's owner was the other worker")


def accounted(cases, shuntd, how):
    with cases.case(f"{how}: every packet is accounted for"):
        # Linux still says a word now and then, so one look may fall between two counters.
        for _ in range(20):
            stats = shuntd.port_stats()
            if stats.unaccounted() == 0:
                break
            time.sleep(0.1)
        expect(stats.unaccounted() == 0, f"{stats.unaccounted()} are nowhere: {stats}")
        print(f"# dropped: {stats.dropped}")
        # Two busy workers on few CPUs may lose a packet on its way from one to the other, by name.
        lost = sum(stats.dropped.values())
        expect(lost <= stats.received // 50, f"{lost} of {stats.received} dropped: {stats.dropped}")


def stops(cases, shuntd, how):
    with cases.case(f"{how}: SIGTERM ends shuntd within a second, with status 0"):
        begin = time.monotonic()
        shuntd.stop()
        expect(time.monotonic() - begin < 1, f"it took {time.monotonic() - begin:.1f} s")


def part(cases, how, direct, two_workers, megabytes):
    with Lab("bytes") as here:
        network = lab.one_network(here) if direct else lab.two_networks(here)
        if direct:
            network.vip_on_loopback()
        method, server_port = ("-g", 443) if direct else ("-m", 8443)
        appliance.start_servers(network, listen_on_vip=[443] if direct else [])
        shuntd = Appliance(
            network, rules=rules(network, method, server_port), console=True,
            conf=TWO_WORKERS if two_workers else "",
            device=appliance.DEVICE + (",qpairs=2" if two_workers else ""),
        )  # fmt: skip
        shuntd.start()
        failed = cases.failed
        if two_workers and not direct:
            many(cases, network, shuntd)
        if not two_workers:
            large(cases, network, how, megabytes)
        datagrams(cases, network, shuntd, how)
        accounted(cases, shuntd, how)
        if cases.failed > failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        stops(cases, shuntd, how)


def main():
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    part(cases, "NAT", False, False, megabytes)
    part(cases, "direct routing", True, False, megabytes)
    part(cases, "NAT on two workers", False, True, megabytes)
    part(cases, "direct routing on two workers", True, True, megabytes)
    return cases.done()


sys.exit(main())
