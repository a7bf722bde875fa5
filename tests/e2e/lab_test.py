#!/usr/bin/env python3
"""The lab itself, without the appliance: Linux forwards in its place.

What the other tests rely on: the topologies connect whom they say, the servers say who they are
and whom they saw, silenced ARP, and nothing is left behind, not even after an interrupt.
"""

import os
import signal
import subprocess
import sys
import time

import client
import lab
import tap
from lab import Lab
from tap import expect

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")


def start_servers(network, *ports):
    for name, address in network.servers.items():
        ends = [f"{address}:{port}" for port in ports] + [f"[{network.servers6[name]}]:{ports[0]}"]
        process = network.lab.start(name, SERVER, name, *ends)
        lab.wait_until(lambda p=process: "ready" in network.lab.log_of(p), f"server {name} not up")


def linux_as_director(network):
    """Twins' names on the veth ends, and the kernel forwards."""
    for port in network.ports:
        network.lab.ip("director", f"link set {port.device} down")
        network.lab.ip("director", f"link set {port.device} name {port.twin}")
        network.lab.ip("director", f"link set {port.twin} up")
    network.configure_twins()
    network.lab.sysctl("director", "net/ipv4/ip_forward", 1)
    network.lab.sysctl("director", "net/ipv6/conf/all/forwarding", 1)


def two_networks_test(cases):
    with Lab("two") as here:
        network = lab.two_networks(here)
        linux_as_director(network)
        start_servers(network, 8443)
        with cases.case("two networks: every server answers the client through the director"):
            for name, address in network.servers.items():
                (reply,) = client.get(network, address, 8443, [20001])
                expect(
                    (reply.status, reply.server, reply.saw, reply.saw_port)
                    == (200, name, network.client, 20001),
                    f"asked {name}, got {reply}",
                )
        with cases.case("two networks: the same in IPv6"):
            for name, address in network.servers6.items():
                (reply,) = client.get(network, address, 8443, [20002])
                expect((reply.server, reply.saw) == (name, network.client6), f"asked {name}: {reply}")
        with cases.case("two networks: datagrams"):
            for name, address in network.servers.items():
                got = client.datagram(network, address, 8443, 20003, b"hello\n")
                expect(got == (name, network.client, 20003, b"hello\n"), f"asked {name}, got {got}")
        with cases.case("a kept connection answers again, falls silent, and resumes"):
            kept = client.Kept(network, network.servers["s1"], 8443, 20004)
            for _ in range(2):
                kept.ask()
                expect(kept.answer() == "s1", "no answer")
            here.ip("director", "link set back down")
            kept.ask()
            expect(kept.answer(0.5) is None, "an answer although the director's link is down")
            here.ip("director", "link set back up")
            # A link that goes down takes the IPv6 addresses along, not the IPv4 ones.
            expect(kept.answer(10) == "s1", "no answer after the link came back")
            kept.close()
        with cases.case("no answer is reported as such"):
            (reply,) = client.get(network, network.vip, 8443, [20005])
            expect(client.by_server([reply]) == {"no answer": 1}, f"{reply}")


def one_network_test(cases):
    with Lab("one") as here:
        network = lab.one_network(here)
        linux_as_director(network)
        network.vip_on_loopback()
        start_servers(network, 8443)
        with cases.case("one network: every server answers the client"):
            for name, address in network.servers.items():
                (reply,) = client.get(network, address, 8443, [20001])
                expect((reply.server, reply.saw) == (name, network.client), f"asked {name}: {reply}")
        with cases.case("one network: only the director answers ARP for the VIP"):
            client.datagram(network, network.vip, 9, 20002, b"discarded")
            found = here.ip("client", f"neigh show {network.vip}")
            director = here.ip("director", "-br link show lan0").split()[2]
            expect(director in found, f"{director} is the director's, but: {found}")


def direct_test(cases):
    with Lab("direct") as here:
        network = lab.two_networks(here, direct=True)
        with cases.case("two networks, direct: servers answer the client past the director"):
            route = here.ip("s1", f"route get {network.client}")
            expect("via 10.2.0.2" in route, f"the way back is {route}")
            start_servers(network, 8443)
            (reply,) = client.get(network, network.servers["s1"], 8443, [20001])
            expect(reply.server == "s1", f"{reply}")


def interrupted_test(cases):
    code = "import lab,time\nwith lab.Lab('cut') as l:\n lab.two_networks(l); l.start('s1','sleep','99')\n print('up',flush=True); time.sleep(99)"
    for number in (signal.SIGINT, signal.SIGTERM):
        with cases.case(f"{number.name} in the middle leaves nothing behind"):
            child = subprocess.Popen(
                [sys.executable, "-c", code], cwd=os.path.dirname(SERVER),
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            expect(child.stdout.readline() == "up\n", "the lab did not come up")
            child.send_signal(number)
            child.send_signal(number)
            child.wait(20)
            names = [n for n in os.listdir("/run/netns") if n.startswith(f"shunt-{child.pid}-")]
            expect(not names, f"left behind: {names}")
            expect(child.returncode != 0, "it ended as if nothing had happened")


def main():
    if reason := lab.why_impossible():
        tap.skip_all(reason)
    cases = tap.Cases()
    begin = time.monotonic()
    two_networks_test(cases)
    one_network_test(cases)
    direct_test(cases)
    interrupted_test(cases)
    print(f"# {time.monotonic() - begin:.1f} s")
    return cases.done()


sys.exit(main())
