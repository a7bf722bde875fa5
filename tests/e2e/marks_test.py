#!/usr/bin/env python3
"""Services by mark live: rules of the conf file mark packets by protocol, address, port and the port
they came in by; two ports of one address are one service."""

import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from client import by_server
from lab import Lab
from tap import expect

ENTRANCES = (8443, 8444)


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("marks") as here:
        network = lab.two_networks(here)
        front, back = (port.twin for port in network.ports)
        servers = [network.servers[name] for name in ("s1", "s2")]
        conf = (
            f"mark = 8 ports 8443 on {back}\n"
            f"mark = 7 proto tcp to {network.vip} ports 8443-8444 on {front}\n"
            f"mark = 9 proto tcp to {network.vip} ports 8445\n"
        )
        rules = "-A -f 7 -s rr\n-A -f 8 -s rr\n"
        rules += "".join(f"-a -f 7 -r {address}:0 -m\n" for address in servers)
        shuntd = Appliance(network, conf=conf, rules=rules)
        shuntd.start()
        appliance.start_servers(network, ports=(*ENTRANCES, 8445))
        with cases.case("both ports of a mark service lead to all its servers, on the same port"):
            for entrance in ENTRANCES:
                first = 20000 + 100 * (entrance - ENTRANCES[0])
                replies = client.get(network, network.vip, entrance, range(first, first + 10))
                expect(by_server(replies) == {"s1": 5, "s2": 5}, f"{entrance}: {by_server(replies)}")
                for reply in replies:
                    expect((reply.saw, reply.saw_port) == (network.client, reply.port), f"{reply}")
        with cases.case("a mark without a service is Linux's packet"):
            replies = client.get(network, network.vip, 8445, [21000])
            expect(by_server(replies) == {"no answer": 1}, f"{by_server(replies)}")
            expect("refused" in replies[0].why.lower() or "connect" in replies[0].why, f"{replies[0]}")
        with cases.case("the listing has the mark"):
            said = shuntd.adm("-L", "-n")
            expect("FWM  7 rr" in said, said)
        shuntd.stop()
    return cases.done()


sys.exit(main())
