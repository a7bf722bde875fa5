#!/usr/bin/env python3
"""Calls of real SIP agents (sipp) through --pe sip -o: every message of a call reaches the server it
began at, what servers answer comes from the virtual address, on one worker and on two."""

import re
import shutil
import sys

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

CALLS, RATE = 60, 30
TWO_WORKERS = "workers = 2\nsessions = 65536\n"


def rules(network):
    lines = []
    for vip, servers in ((network.vip, network.servers), (f"[{network.vip6}]", network.servers6)):
        lines.append(f"-A -u {vip}:5060 -s rr -p 60 --pe sip -o")
        for address in servers.values():
            brackets = f"[{address}]" if ":" in address else address
            lines.append(f"-a -u {vip}:5060 -r {brackets}:5060 -m")
    return "\n".join(lines) + "\n"


def sipp(scenario, address, *more):
    """Nothing is sent again (-nr): a call succeeds only if none of its messages is lost, and on a slow
    machine none comes twice."""
    return "sipp", "-sn", scenario, "-i", address, "-p", "5060", "-nr", "-nostdin", *more


def listening(network, name, address):
    return f"{address}:5060" in network.lab.run(name, "ss", "-Hlun").replace("[", "").replace("]", "")


def start_servers(network, addresses):
    for name, address in addresses.items():
        process = network.lab.start(name, *sipp("uas", f"[{address}]" if ":" in address else address))
        lab.wait_until(
            lambda n=name, a=address: listening(network, n, a),
            f"sipp on {name} did not start ({network.lab.log_of(process)[-300:]})",
        )


def templates(shuntd, vip):
    """[(Call-ID, server)] as ipvsadm -Lnc --persistent-conn lists them."""
    rows = shuntd.adm("-L", "-n", "-c", "--persistent-conn").splitlines()[2:]
    words = [row.split() for row in rows if f"{vip}:5060" in row or f"[{vip}]:5060" in row]
    expect(all(len(w) == 8 and w[6] == "sip" for w in words), f"{words[:3]}")
    return [(w[7], w[5]) for w in words]


def calls(cases, network, shuntd, how, client, vip, servers):
    with cases.case(f"{how}: {CALLS} calls are made and ended"):
        start_servers(network, servers)
        brackets = [f"[{a}]" if ":" in a else a for a in (client, vip)]
        done = network.lab.run(
            "client", *sipp("uac", brackets[0], "-r", str(RATE), "-m", str(CALLS), "-d", "500",
            "-timeout", "40", "-timeout_error", f"{brackets[1]}:5060"), check=False,
        )  # fmt: skip
        successful = re.findall(r"Successful call +\| +\d+ +\| +(\d+)", done)
        expect(successful and int(successful[-1]) == CALLS, f"{done[-2500:]}")
        for kind in "Failed call", "Unexpected", "Dead call msg":
            found = re.findall(rf"{kind}\w* *\| +\d+ +\| +(\d+)", done)
            expect(not found or int(found[-1]) == 0, f"{kind}: {found}")
    with cases.case(f"{how}: each has one template, by its Call-ID, and each server some of them"):
        rows = templates(shuntd, vip)
        expect(len(rows) == len({row[0] for row in rows}) == CALLS, f"{len(rows)}: {rows[:4]}")
        shares = [sum(address in row[1] for row in rows) for address in servers.values()]
        expect(sum(shares) == CALLS and min(shares) > 0, f"{shares}")


def part(cases, how, two_workers):
    with Lab("sip") as here:
        network = lab.two_networks(here)
        shuntd = Appliance(
            network, rules=rules(network), console=True, conf=TWO_WORKERS if two_workers else "",
            device=appliance.DEVICE + (",qpairs=2" if two_workers else ""),
        )  # fmt: skip
        shuntd.start()
        failed = cases.failed
        calls(cases, network, shuntd, f"{how}, IPv4", network.client, network.vip, network.servers)
        calls(cases, network, shuntd, f"{how}, IPv6", network.client6, network.vip6, network.servers6)
        with cases.case(f"{how}: nothing was dropped, and no session is left but templates"):
            stats = shuntd.port_stats()
            expect(not stats.dropped, f"{stats.dropped}")
            rows = shuntd.adm("-L", "-n", "-c").splitlines()[2:]
            expect(len(rows) == 2 * CALLS, f"{len(rows)} rows")
        if cases.failed > failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    if not shutil.which("sipp"):
        tap.skip_all("sipp is not installed")
    cases = tap.Cases()
    part(cases, "one worker", False)
    part(cases, "two workers", True)
    return cases.done()


sys.exit(main())
