#!/usr/bin/env python3
"""An SCTP association lives through the appliance: NAT to another port and direct routing, in both
families, on one worker and on two. The ends are sctp_peer.py's, over raw sockets."""

import json
import os
import re
import subprocess
import sys

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sctp_peer.py")
MESSAGES, ASSOCIATIONS = 40, 6
TWO_WORKERS = "workers = 2\nsessions = 65536\n"


def rules(network, direct):
    lines, how = [], "5000 -g" if direct else "5001 -m"
    for vip, servers in ((network.vip, network.servers), (f"[{network.vip6}]", network.servers6)):
        lines.append(f"-A --sctp-service {vip}:5000 -s rr")
        for address in servers.values():
            brackets = f"[{address}]" if ":" in address else address
            lines.append(f"-a --sctp-service {vip}:5000 -r {brackets}:{how}")
    return "\n".join(lines) + "\n"


def start_servers(network, direct):
    """{name: [process]}, one for each family; with direct routing they are the virtual addresses."""
    started, port = {}, "5000" if direct else "5001"
    for name in network.servers:
        ends = network.servers[name], network.servers6[name]
        if direct:
            ends = network.vip, network.vip6
        started[name] = [network.lab.start(name, sys.executable, PEER, "serve", a, port) for a in ends]
    for processes in started.values():
        for process in processes:
            lab.wait_until(lambda p=process: "ready" in network.lab.log_of(p), "a server did not start")
    return started


def begin(network, client, vip, port):
    command = ["ip", "netns", "exec", network.lab.netns("client"), sys.executable, PEER]
    talk = ["talk", client, str(port), vip, "5000", str(MESSAGES)]
    process = subprocess.Popen(command + talk, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    network.lab.processes.append(process)
    said = process.stdout.readline().strip()
    expect(said == "established", f"client port {port}: {said or 'nothing'}")
    return process


def listed(shuntd):
    """[(state, client, virtual address, server)] of `ipvsadm -Lnc`."""
    rows = re.findall(r"^SCTP +\S+ +(\S+) +(\S+) +(\S+) +(\S+)", shuntd.adm("-L", "-n", "-c"), re.M)
    return sorted(rows, key=lambda row: row[1])


def associations(cases, network, shuntd, servers, how, client, vip):
    with cases.case(f"{how}: associations are established and listed as such"):
        talks = [begin(network, client, vip, 3000 + n) for n in range(ASSOCIATIONS)]
        rows = [r for r in listed(shuntd) if (":" in vip) == r[1].startswith("[")]
        expect([r[0] for r in rows] == ["ESTABLISHED"] * ASSOCIATIONS, f"{rows}")
        used = {r[3] for r in rows}
        expect(len(used) == len(network.servers), f"servers used: {used}")
    with cases.case(f"{how}: messages come back whole, with right checksums"):
        for talk in talks:
            said, _ = talk.communicate("go on\n", timeout=60)
            expect(talk.returncode == 0, said)
            expect(json.loads(said) == {"echoed": MESSAGES, "wrong": 0}, said)
    with cases.case(f"{how}: every server saw its associations' end"):
        ends = []

        def all_ended():
            logs = [network.lab.log_of(p) for processes in servers.values() for p in processes]
            ends[:] = [e for log in logs for e in re.findall(rf"complete (\S+):(\d+) wrong (\d+)", log)]
            return sum((":" in e[0]) == (":" in vip) for e in ends) == ASSOCIATIONS

        lab.wait_until(all_ended, f"not {ASSOCIATIONS} ended: {ends}")
        mine = [e for e in ends if (":" in e[0]) == (":" in vip)]
        expect({e[0] for e in mine} == {client}, f"{mine}")
        expect({e[2] for e in mine} == {"0"}, f"{mine}")
        states = {r[0] for r in listed(shuntd) if (":" in vip) == r[1].startswith("[")}
        # The client's SHUTDOWN leads to S-RECEIVED, the server's answer (if it comes this way) to
        # S-ACK-SENT, the client's SHUTDOWN COMPLETE to CLOSED.
        expect(states == {"CLOSED"}, f"{states}")


def part(cases, how, two_workers, direct):
    with Lab("sctp") as here:
        network = lab.two_networks(here, direct)
        if direct:
            network.vip_on_loopback()
        servers = start_servers(network, direct)
        shuntd = Appliance(
            network, rules=rules(network, direct), console=True, conf=TWO_WORKERS if two_workers else "",
            device=appliance.DEVICE + (",qpairs=2" if two_workers else ""),
        )  # fmt: skip
        shuntd.start()
        failed = cases.failed
        associations(cases, network, shuntd, servers, f"{how}, IPv4", network.client, network.vip)
        associations(cases, network, shuntd, servers, f"{how}, IPv6", network.client6, network.vip6)
        with cases.case(f"{how}: nothing was dropped, and every worker had a part"):
            stats = shuntd.port_stats()
            expect(not stats.dropped, f"{stats.dropped}")
            expect(len(stats.workers) >= (2 if two_workers else 1), f"workers: {stats.workers}")
            expect(all(stats.workers), f"packets of each worker: {stats.workers}")
        if cases.failed > failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    for method, direct in ("NAT", False), ("direct routing", True):
        part(cases, f"{method}, one worker", False, direct)
        part(cases, f"{method}, two workers", True, direct)
    return cases.done()


sys.exit(main())
