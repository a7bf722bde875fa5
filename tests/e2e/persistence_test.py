#!/usr/bin/env python3
"""Persistence live, with two workers: all connections of a client go to one server, by service, by
address and by network, and -E of the service under them loses none."""

import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from client import by_server
from lab import Lab
from tap import expect

PORTS, OTHER_PORTS = range(20000, 20016), range(22000, 22016)
TWO_WORKERS = "workers = 2\nsessions = 65536\n"


def service(options, vip, servers):
    real = "[{}]:8443" if ":" in vip else "{}:8443"
    where = "-t " + (f"[{vip}]:443" if ":" in vip else f"{vip}:443")
    lines = [f"-A {where} -s rr {options}"]
    lines += [f"-a {where} -r {real.format(address)} -m" for address in servers.values()]
    return "\n".join(lines) + "\n"


def connect(network, vip, ports=PORTS):
    """Connections from all of the ports; {server: how many}."""
    replies = client.get(network, vip, 443, ports)
    for reply in replies:
        expect(reply.status == 200, f"{reply}")
        expect(reply.saw_port == reply.port, f"{reply}")
    return by_server(replies)


def one_server(network, shuntd, vip, server=None):
    used = connect(network, vip)
    expect(len(used) == 1, f"{used}")
    expect(server in (None, *used), f"{used}, before {server}")
    rows = [line.split() for line in shuntd.adm("-L", "-n", "-c").splitlines()]
    templates = [row for row in rows if len(row) == 6 and row[3].endswith(":0") and vip in row[4]]
    expect(len(templates) == 1 and templates[0][2] == "ASSURED", f"{templates}")
    return next(iter(used))


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("persist") as here:
        network = lab.two_networks(here)
        appliance.start_servers(network, ports=[8443])
        rules = service("-p 300 -M 255.255.255.0", network.vip, network.servers)
        rules += service("-p 300 -M 64", network.vip6, network.servers6)
        device = appliance.DEVICE + ",qpairs=2"
        shuntd = Appliance(network, conf=TWO_WORKERS, rules=rules, device=device, console=True)
        shuntd.start()
        chosen = None
        with cases.case("IPv4: all connections of a client are answered by one server"):
            chosen = one_server(network, shuntd, network.vip)
        with cases.case("IPv6: all connections of a client are answered by one server"):
            one_server(network, shuntd, network.vip6)
        with cases.case("-E to plain and back: kept connections go on, the template too"):
            kept = [client.Kept(network, network.vip, 443, port) for port in range(21000, 21006)]
            where = ("-t", f"{network.vip}:443", "-s", "rr")
            for options in (), ("-p", "300", "-M", "255.255.255.0"):
                shuntd.adm("-E", *where, *options)
                for connection in kept:
                    connection.ask()
                    expect(connection.answer(), f"no answer at {options}")
                if not options:
                    # From other ports: closed connections of a template stay with its server.
                    used = connect(network, network.vip, OTHER_PORTS)
                    expect(len(used) == 3, f"without -p: {used}")
            one_server(network, shuntd, network.vip, chosen)
            for connection in kept:
                connection.close()
        with cases.case("the listing counts the templates"):
            rows = shuntd.adm("-L", "-n", "--persistent-conn").splitlines()
            counts = [int(row.split()[3]) for row in rows if row.startswith("  -> ") and ":8443" in row]
            expect(sum(counts) == 2 and len(counts) == 6, f"{rows}")
        with cases.case("no packet was dropped"):
            stats = shuntd.port_stats()
            expect(not stats.dropped, f"{stats.dropped}")
        if cases.failed:
            print("# shuntd said:", *shuntd.log().splitlines()[:30], sep="\n# ")
        shuntd.stop()
    return cases.done()


sys.exit(main())
