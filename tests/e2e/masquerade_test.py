#!/usr/bin/env python3
"""Masquerade under load: many new connections a second to one server, none refused, and a health
check of Linux's from the same address undisturbed.

masquerade_test.py [PER_SECOND SECONDS]    acceptance runs 2000 60; without arguments 1000 10, over so
                                           few local ports that they too are used again and again
"""

import json
import subprocess
import sys

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

LOAD = appliance.SERVER.replace("server.py", "load.py")
CHECKS_A_SECOND = 20


def start_load(network, where, *words):
    return subprocess.Popen(
        ["ip", "netns", "exec", network.lab.netns(where), sys.executable, LOAD, *map(str, words)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def report(process, seconds):
    text, _ = process.communicate(timeout=seconds + 60)
    print(f"# {text.strip()}")
    return json.loads(text)


def connections(cases, network, shuntd, per_second, seconds):
    director = network.ports[0].addresses[0].split("/")[0]
    server = network.servers["s1"]
    serving = network.lab.start("s1", sys.executable, LOAD, "serve", server, "8443")
    lab.wait_until(lambda: "ready" in network.lab.log_of(serving), "the server did not start")
    # The checks begin before the load and end after it.
    check = start_load(network, "director", "rate", server, 8443, CHECKS_A_SECOND, seconds + 2)
    load = start_load(network, "client", "rate", network.vip, 443, per_second, seconds)
    network.lab.processes += [check, load]
    loaded, checked = report(load, seconds), report(check, seconds)
    with cases.case(f"{per_second} connections a second for {seconds} s: none is refused or lost"):
        total = per_second * seconds
        expect(not loaded["wrong"], f"{loaded['wrong']} of {total}")
        expect(loaded["saw"] == {director: total}, f"the server saw {loaded['saw']}")
        expect(
            loaded["per_second"] > 0.9 * per_second, f"only {loaded['per_second']} a second were opened"
        )
    with cases.case("a health check of Linux's from the same address succeeds every time"):
        expect(not checked["wrong"], f"{checked['wrong']}")
        expect(checked["saw"] == {director: CHECKS_A_SECOND * (seconds + 2)}, f"{checked['saw']}")
        expect(checked["slowest_ms"] < 1000, f"one took {checked['slowest_ms']} ms")
    with cases.case("no packet was dropped"):
        stats = shuntd.port_stats()
        expect(not stats.dropped, f"{stats.dropped}")


def main():
    per_second, seconds, ports = 1000, 10, "10000-13999"
    if len(sys.argv) > 2:
        per_second, seconds, ports = int(sys.argv[1]), int(sys.argv[2]), "10000-32767"
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("masq") as here:
        network = lab.one_network(here)
        name = network.ports[0].twin
        rules = (
            f"-A -t {network.vip}:443 -s mh -b mh-port\n"
            f"-a -t {network.vip}:443 -r {network.servers['s1']}:8443 -m\n"
        )
        conf = f"masquerade = {name}\nmasquerade-ports = {ports}\n"
        shuntd = Appliance(network, conf=conf, rules=rules, console=True)
        shuntd.start()
        connections(cases, network, shuntd, per_second, seconds)
        if cases.failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()
    return cases.done()


sys.exit(main())
