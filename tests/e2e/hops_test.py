#!/usr/bin/env python3
"""A host that sends from made-up addresses of its own network, against Linux's own neighbour tables:
new clients, servers and gateways are found while it goes on, and the log says when it begins."""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

import appliance
import lab
import tap
from appliance import Appliance
from lab import Lab
from tap import expect

SECONDS, PER_SECOND = 6, 2000
GATEWAY, BEHIND = "10.1.0.88", "10.9.0.1"


def mac_of(network, name, device):
    return network.lab.ip(name, f"-br link show {device}").split()[2]


class Flood:
    """TCP SYNs to the VIP from made-up addresses of the client's /64, by its eth0."""

    def __init__(self, network):
        self.network, self.sent, self.over = network, 0, threading.Event()
        to, own = (bytes.fromhex(m.replace(":", "")) for m in (
            mac_of(network, "director", "front"), mac_of(network, "client", "eth0")))  # fmt: skip
        self.ethernet = to + own + struct.pack("!H", 0x86DD)

    def frame(self):
        source = f"2001:db8:1::{os.urandom(2).hex()}:{os.urandom(2).hex()}:{os.urandom(2).hex()}"
        return self.ethernet + appliance.syn(source, 4000, self.network.vip6, 443)[14:]

    def run(self):
        with self.network.lab.inside("client"), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            while not self.over.is_set():
                for _ in range(PER_SECOND // 100):
                    raw.send(self.frame())
                    self.sent += 1
                time.sleep(0.01)

    @contextlib.contextmanager
    def going_on(self):
        thread = threading.Thread(target=self.run)
        thread.start()
        time.sleep(SECONDS / 2)
        try:
            yield
        finally:
            self.over.set()
            thread.join()


def connects(network, source, address, port):
    """One connection, by its first SYN: the second one comes after a second."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with network.lab.inside("client"):
        end = socket.socket(family, socket.SOCK_STREAM)
    with end:
        end.settimeout(0.95)
        end.bind((source, 0))
        try:
            end.connect((address, port))
        except OSError:
            return False
    return True


def rule(network, name, port, family6=False):
    vip = f"[{network.vip6}]" if family6 else network.vip
    server = f"[{network.servers6[name]}]" if family6 else network.servers[name]
    return f"-A -t {vip}:{port} -s rr\n-a -t {vip}:{port} -r {server}:8443 -m\n"


def add(network, shuntd, name, port):
    shuntd.adm("-A", "-t", f"{network.vip}:{port}", "-s", "rr")
    shuntd.adm("-a", "-t", f"{network.vip}:{port}", "-r", f"{network.servers[name]}:8443", "-m")


def new_ones(network, shuntd, number):
    """A client, a server and a gateway that nobody has met."""
    client = f"10.1.0.{100 + number}"
    network.lab.address("client", "eth0", f"{client}/24")
    expect(connects(network, client, network.vip, 443), "a new client does not connect")
    name = f"s{1 + number}"
    add(network, shuntd, name, 1000 + number)
    expect(connects(network, network.client, network.vip, 1000 + number), "a new server is not reached")
    network.lab.run("director", "ip", "neigh", "flush", "to", GATEWAY)
    expect(connects(network, BEHIND, network.vip, 443), "a client behind a new gateway does not connect")


def check(cases, network, shuntd):
    with cases.case("before the flood, both families connect"):
        expect(connects(network, network.client, network.vip, 443), "IPv4 does not")
        expect(connects(network, network.client6, network.vip6, 443), "IPv6 does not")
    flood = Flood(network)
    with cases.case(f"beside {PER_SECOND} SYNs a second from made-up sources of one /64, a new client, "
                    "server and gateway are found"), flood.going_on():  # fmt: skip
        new_ones(network, shuntd, 1)
        expect(connects(network, network.client6, network.vip6, 443), "the /64's known client does not")
    print(f"# {flood.sent} were sent; the director's table has "
          f"{len(network.lab.ip('director', '-6 neigh show dev front').splitlines())} neighbours")
    with cases.case("counters and the log say so"):
        text = shuntd.say("show port stats all")
        expect("hold_share" in text or "neighbour_questions" in text, text)
        expect("begins" in shuntd.lab.log_of(shuntd.process), "the log has no line for its beginning")
    with cases.case("after it, new ones are found, those of its own network too"):
        time.sleep(3)
        new_ones(network, shuntd, 2)
        network.lab.address("client", "eth0", "2001:db8:1::77/64")
        expect(connects(network, "2001:db8:1::77", network.vip6, 443), "the /64's new client does not")
    with cases.case("the log says that it is over"):
        lab.wait_until(lambda: "is over" in shuntd.lab.log_of(shuntd.process), "it did not", within=15)


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("hops") as here:
        network = lab.two_networks(here)
        here.address("client", "lo", f"{BEHIND}/32")
        here.address("client", "eth0", f"{GATEWAY}/24")
        shuntd = Appliance(
            network, rules=rule(network, "s1", 443) + rule(network, "s1", 443, True), console=True
        )
        shuntd.start()
        here.ip("director", f"route add 10.9.0.0/24 via {GATEWAY}")
        for name in network.servers:  # what they do not repeat is over with the flood
            here.sysctl(name, "net/ipv4/tcp_synack_retries", 0)
        appliance.start_servers(network)
        check(cases, network, shuntd)
        if cases.failed:
            print("#", "\n# ".join(shuntd.say("show port stats all").splitlines()))
            print("# shuntd said:", *shuntd.log().splitlines()[:20], sep="\n# ")
        shuntd.stop()
    return cases.done()


sys.exit(main())
