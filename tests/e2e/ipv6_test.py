#!/usr/bin/env python3
"""IPv6 live: NAT and direct routing of real connections and datagrams, neighbour discovery and ping
through the twin. The networks are those of the other tests, 2001:db8:1::, 2:: and 3::."""

import os
import socket
import struct
import sys

import appliance
import client
import lab
import tap
from appliance import Appliance
from client import by_server
from lab import Lab
from tap import expect

PORTS = range(20000, 20040)
LONG = os.urandom(60000)  # of a datagram: 42 fragments on Ethernet


def rules(network, method, server_port):
    lines = []
    for flag in ("-t", "-u"):
        lines.append(f"-A {flag} [{network.vip6}]:443 -s mh -b mh-port")
        for address in network.servers6.values():
            lines.append(f"-a {flag} [{network.vip6}]:443 -r [{address}]:{server_port} {method}")
    return "\n".join(lines) + "\n"


def echo_request(network, address, identifier):
    """One ICMPv6 echo request (RFC 4443) from the client; whether its reply came."""
    with network.lab.inside("client"):
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    with raw:
        raw.settimeout(client.QUIET_SECONDS)
        # The kernel computes the checksum of an ICMPv6 socket.
        raw.sendto(struct.pack("!BBHHH", 128, 0, 0, identifier, 1) + b"shunt", (address, 0))
        try:
            while True:
                packet, source = raw.recvfrom(2048)
                kind, _, _, its = struct.unpack("!BBHH", packet[:6])
                if (kind, its, source[0]) == (129, identifier, address):
                    return True
        except TimeoutError:
            return False


def mac_of(network, name, device):
    return network.lab.ip(name, f"-br link show {device}").split()[2]


def as_foretold(network, method, server_port):
    told = appliance.foretell(
        network.lab.directory, rules(network, method, server_port), network.client6, PORTS, network.vip6, 443
    )
    names = {f"[{address}]:{server_port}": name for name, address in network.servers6.items()}
    replies = client.get(network, network.vip6, 443, PORTS)
    for reply in replies:
        expect(reply.status == 200, f"{reply}")
        expect(reply.server == names[told[reply.port]], f"{reply}, foretold {told[reply.port]}")
        expect((reply.saw, reply.saw_port) == (network.client6, reply.port), f"{reply}")
    expect(set(by_server(replies)) == set(names.values()), f"{by_server(replies)}")


def datagrams(network, size):
    payload = LONG[:size]
    for port in PORTS[:6]:
        got = client.datagram(network, network.vip6, 443, port, payload)
        expect(got is not None, f"no answer to client port {port}")
        expect(got[1:3] == (network.client6, port), f"the server saw {got[1:3]}")
        expect(got[3] == payload, f"{len(got[3])} bytes came back of {size}, or others")


def balanced(cases, network, how, method, server_port):
    with cases.case(f"{how}: connections reach the servers that shunt-replay foretells"):
        as_foretold(network, method, server_port)
    with cases.case(f"{how}: datagrams come back from the VIP"):
        datagrams(network, 1000)
    with cases.case(f"{how}: datagrams of {len(LONG)} bytes arrive whole, in fragments"):
        datagrams(network, len(LONG))


def nat(cases):
    with Lab("nat6") as here:
        network = lab.two_networks(here)
        appliance.start_servers(network)
        shuntd = Appliance(network, rules=rules(network, "-m", 8443))
        shuntd.start()
        with cases.case("neighbour discovery: the twin answers for the VIP with the port's MAC"):
            here.ip("client", "-6 neigh flush dev eth0")
            expect(echo_request(network, network.vip6, 7), f"{network.vip6} did not answer a ping")
            found = here.ip("client", f"neigh show {network.vip6}")
            expect(mac_of(network, "director", "front") in found, f"the client knows: {found}")
        with cases.case("ping: Linux answers on every address of the director"):
            for address in ("2001:db8:1::1", "2001:db8:2::1"):
                expect(echo_request(network, address, 8), f"{address} did not answer")
        balanced(cases, network, "NAT", "-m", 8443)
        with cases.case("NAT: the director resolves servers anew after they were forgotten"):
            here.ip("director", "-6 neigh flush dev back")
            as_foretold(network, "-m", 8443)
        if cases.failed:
            print("# shuntd said:", *shuntd.log().splitlines(), sep="\n# ")
        shuntd.stop()


def direct(cases):
    with Lab("dr6") as here:
        network = lab.one_network(here)
        network.vip_on_loopback()
        appliance.start_servers(network, ports=[8443], listen_on_vip=[443])
        shuntd = Appliance(network, rules=rules(network, "-g", 443))
        shuntd.start()
        balanced(cases, network, "direct routing", "-g", 443)
        if cases.failed:
            print("# shuntd said:", *shuntd.log().splitlines(), sep="\n# ")
        shuntd.stop()


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    nat(cases)
    direct(cases)
    return cases.done()


sys.exit(main())
