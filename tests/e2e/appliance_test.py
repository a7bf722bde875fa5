#!/usr/bin/env python3
"""The appliance between a client and three servers: what scripts/demo shows, and what it does not.

client 10.1.0.2 ── front 10.1.0.1, VIP .100 [shuntd] back 10.2.0.1 ── s1 s2 s3 10.2.0.11 to .13
"""

import os
import signal
import socket
import subprocess
import sys
import time

import appliance
import client
import lab
import tap
from appliance import Appliance
from lab import Failure, Lab
from tap import expect

HERE = os.path.dirname(os.path.abspath(__file__))
NO_SERVER = "10.1.0.100:81"


def rules(network):
    lines = []
    for flag in ("-t", "-u"):
        lines.append(f"-A {flag} {network.vip}:443 -s mh -b mh-port")
        for address in network.servers.values():
            lines.append(f"-a {flag} {network.vip}:443 -r {address}:8443 -m")
    lines.append(f"-A -t {NO_SERVER} -s mh")
    return "\n".join(lines) + "\n"


def connect_error(network, address, port):
    """What connect() says: "" when it succeeds."""
    with network.lab.inside("client"):
        stream = socket.socket()
    with stream:
        stream.settimeout(client.QUIET_SECONDS)
        try:
            stream.connect((address, port))
        except OSError as error:
            return type(error).__name__
    return ""


def twins_of(network):
    """The twins' MACs, addresses and routes, as text to compare."""
    text = ""
    for port in network.ports:
        text += network.lab.ip("director", f"-br link show {port.twin}").split()[2] + "\n"
        text += network.lab.ip("director", f"-br addr show {port.twin}").split(maxsplit=2)[2]
        for family in ("-4", "-6"):
            text += network.lab.ip("director", f"{family} route show dev {port.twin}")
    return text.replace("linkdown", "")  # while nobody holds the TAP


def balanced(cases, network):
    told = appliance.foretell(
        network.lab.directory, rules(network), network.client, range(20000, 20020), network.vip, 443
    )
    names = {f"{address}:8443": name for name, address in network.servers.items()}
    with cases.case("connections reach the servers that shunt-replay foretells"):
        for reply in client.get(network, network.vip, 443, range(20000, 20020)):
            expect(reply.server == names[told[reply.port]], f"{reply}, foretold {told[reply.port]}")
            expect((reply.saw, reply.saw_port) == (network.client, reply.port), f"{reply}")
    with cases.case("datagrams reach them too, and come back from the VIP"):
        for port in range(20000, 20006):
            got = client.datagram(network, network.vip, 443, port, b"x" * 1000)
            expect(got is not None, f"no answer to client port {port}")
            expect(got[1:] == (network.client, port, b"x" * 1000), f"{got[:3]}")


def left_to_linux(cases, network):
    with cases.case("Linux answers pings to the VIP and to the director"):
        for identifier, address in enumerate((network.vip, "10.1.0.1")):
            expect(client.ping(network, address, identifier + 7), f"{address} did not answer")
    with cases.case("another port of the VIP is Linux's, which refuses"):
        error = connect_error(network, network.vip, 82)
        expect(error == "ConnectionRefusedError", f"connect said {error or 'yes'}")
    with cases.case("a server of the director's own is reached through the twin"):
        process = network.lab.start("director", appliance.SERVER, "director", "10.1.0.1:8080")
        lab.wait_until(lambda: "ready" in network.lab.log_of(process), "its server did not start")
        (reply,) = client.get(network, "10.1.0.1", 8080, [20100])
        expect((reply.server, reply.saw) == ("director", network.client), f"{reply}")
    with cases.case("a service without servers refuses (ICMP port unreachable)"):
        error = connect_error(network, network.vip, 81)
        expect(error == "ConnectionRefusedError", f"connect said {error or 'yes'}")


def ends_and_returns(cases, network, shuntd):
    before = twins_of(network)
    with cases.case("SIGTERM ends shuntd within a second, with status 0"):
        begin = time.monotonic()
        shuntd.stop()
        expect(time.monotonic() - begin < 1, f"it took {time.monotonic() - begin:.1f} s")
    with cases.case("addresses, routes and MACs of the twins outlive a kill -9 and a restart"):
        shuntd.start()
        os.kill(shuntd.process.pid, signal.SIGKILL)
        shuntd.process.wait()
        expect(twins_of(network).split() == before.split(), "they changed when shuntd was killed")
        shuntd.start()
        expect(twins_of(network).split() == before.split(), "they changed when it came back")
        (reply,) = client.get(network, network.vip, 443, [20200])
        expect(reply.status == 200, f"{reply}")


def demo(cases):
    with cases.case("scripts/demo ends with every reply right"):
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "demo.py")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
        )  # fmt: skip
        if done.returncode != 0:
            raise Failure(f"status {done.returncode}:\n{done.stdout}")


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("test") as here:
        network = lab.two_networks(here)
        appliance.start_servers(network)
        shuntd = Appliance(network, rules=rules(network))
        shuntd.start()
        balanced(cases, network)
        left_to_linux(cases, network)
        ends_and_returns(cases, network, shuntd)
        if cases.failed:
            print("# shuntd said:", *shuntd.log().splitlines(), sep="\n# ")
    demo(cases)
    return cases.done()


sys.exit(main())
