#!/usr/bin/env python3
"""Any number of workers, on an af_packet port with one queue and with 16, whatever the CPUs:
shuntd starts, forwards, answers, lists and stops.

client, director and servers on one network: NAT with our own address at port 443, direct routing at
444; and NAT between two networks, by a port with one queue and one with 16.

workers_test.py [WORKERS...]    5, 8, 16 and 32 unless said
"""

import json
import re
import selectors
import socket
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
COUNTS = (5, 8, 16, 32)
QUEUES = (1, 16)
DEVICE = "net_af_packet{number},iface={device},blocksz=65536,framesz=2048,framecnt=1024,qpairs="
LONG = bytes(range(256)) * 40  # of a datagram: 7 fragments on Ethernet
STOPS_WITHIN = 5  # seconds, of more threads than CPUs
IN_FLIGHT = 16  # datagrams that wait for their answers at once
SESSIONS = re.compile(r"worker \d+: \d+ packets received, (\d+) sessions")


def rules(network, services=((443, 8443, "-m"), (444, 444, "-g"), (445, 8445, "-m"))):
    lines = []
    for port, real, method in services:
        for flag in ("-t", "-u"):
            lines.append(f"-A {flag} {network.vip}:{port} -s rr")
            for address in network.servers.values():
                lines.append(f"-a {flag} {network.vip}:{port} -r {address}:{real} {method}")
    return "\n".join(lines) + "\n"


def echoed(network, port, client_ports):
    """How many of the datagrams, one from each of the client's ports, come back."""
    came, waiting = 0, list(client_ports)
    with selectors.DefaultSelector() as answers, network.lab.inside("client"):
        deadline = time.monotonic() + 20
        while (waiting or answers.get_map()) and time.monotonic() < deadline:
            while waiting and len(answers.get_map()) < IN_FLIGHT:
                sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sender.bind(("", waiting.pop()))
                sender.connect((network.vip, port))
                sender.send(b"?")
                answers.register(sender, selectors.EVENT_READ)
            for key, _ in answers.select(client.QUIET_SECONDS):
                came += key.fileobj.recv(100).endswith(b" ?")
                answers.unregister(key.fileobj)
                key.fileobj.close()
        for key in list(answers.get_map().values()):
            key.fileobj.close()
    return came


def forwards(cases, network, shuntd, workers, how, ports=(443, 444)):
    with cases.case(f"{how}: connections by NAT and by direct routing, many at once"):
        for port in ports:
            got = json.loads(
                network.lab.run(
                    "client", sys.executable, LOAD, "fetch", network.vip, str(port), "100000", "40",
                    timeout=60,
                )
            )  # fmt: skip
            expect(got["whole"] == 40, f"port {port}: {got}: {shuntd.port_stats()}")
    with cases.case(f"{how}: every worker owns flows, and none of their datagrams is lost"):
        client_ports = range(20000, 20000 + 12 * workers + 40)
        for port in ports:
            came = echoed(network, port, client_ports)
            lost = len(client_ports) - came
            expect(lost == 0, f"port {port}: {lost} of {len(client_ports)} lost: {shuntd.port_stats()}")
        sessions = [int(n) for n in SESSIONS.findall(shuntd.say("show port stats all"))]
        expect(len(sessions) == workers and min(sessions) > 0, f"sessions of each: {sessions}")
    with cases.case(f"{how}: datagrams in fragments arrive whole"):
        for port in ports:
            for client_port in range(10000, 10003):
                got = client.datagram(network, network.vip, port, client_port, LONG)
                expect(got is not None and got[3] == LONG, f"port {port}: {got and got[:3]}")


def answers(cases, network, shuntd, how):
    with cases.case(f"{how}: a server's ICMP error comes back translated"):
        with network.lab.inside("client"):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.settimeout(client.QUIET_SECONDS)
            sender.connect((network.vip, 445))
            sender.send(b"nobody listens there")
            try:
                said = f"{sender.recv(100)}"
            except OSError as error:
                said = type(error).__name__
            expect(said == "ConnectionRefusedError", f"{said}: {shuntd.port_stats()}")
    with cases.case(f"{how}: pings to the twin's addresses, and from Linux by the twin"):
        for number, address in enumerate((network.vip, "10.3.0.1")):
            expect(client.ping(network, address, number + 1), f"no answer from {address}")
        for number, address in enumerate((network.client, *network.servers.values())):
            expect(
                client.ping(network, address, number + 9, where="director"),
                f"no answer from {address} to Linux",
            )
    with cases.case(f"{how}: services, connections and statistics are listed"):
        listed = shuntd.adm("-L", "-n")
        expect(listed.count("RoundRobin") + listed.count(" rr") == 6, listed)
        connections = shuntd.adm("-L", "-n", "-c")
        expect(connections.count("UDP") > 100, connections[-500:])


def account(cases, shuntd, how):
    with cases.case(f"{how}: every packet is accounted for, and none was lost between workers"):
        for _ in range(20):
            stats = shuntd.port_stats()
            if stats.unaccounted() == 0:
                break
            time.sleep(0.1)
        expect(stats.unaccounted() == 0, f"{stats.unaccounted()} are nowhere: {stats}")
        lost = {name: n for name, n in stats.dropped.items() if name.endswith("_full")}
        expect(not lost, f"{lost}")


def stops(cases, shuntd, how):
    with cases.case(f"{how}: SIGTERM ends shuntd within {STOPS_WITHIN} s, with status 0"):
        begin = time.monotonic()
        shuntd.stop()
        took = time.monotonic() - begin
        print(f"# ended in {took:.2f} s")
        expect(took < STOPS_WITHIN, f"it took {took:.1f} s")


def run(cases, network, workers, queues):
    how = f"{workers} workers, {queues} queue(s)"
    memory = appliance.eal_options(f"{network.lab.prefix}-{workers}-{queues}", megabytes=1536)
    shuntd = Appliance(
        network, rules=rules(network), console=True, device=DEVICE + str(queues),
        conf=f"eal = {memory}\nworkers = {workers}\nidle = sleep\nsessions = 65536\nmasquerade = lan0",
    )  # fmt: skip
    failed = cases.failed
    with cases.case(f"{how}: starts, and says what a worker takes"):
        shuntd.start(within=60)
        said = re.search(rf"{workers} worker\(s\), by worker: .*", shuntd.log())
        expect(said, f"not a word: {shuntd.log()}")
        print(f"# {said[0]}")
    if cases.failed == failed:
        forwards(cases, network, shuntd, workers, how)
        answers(cases, network, shuntd, how)
        account(cases, shuntd, how)
    if cases.failed > failed:
        print("# shuntd said:", *shuntd.log().splitlines()[-60:], sep="\n# ")
    if shuntd.alive():
        stops(cases, shuntd, how)


def two_ports(cases, workers=8):
    """What is sent by one port's worker comes by another's."""
    how = f"{workers} workers, ports of 1 and of 16 queues"
    with Lab("uneven") as here:
        network = lab.two_networks(here)
        appliance.start_servers(network)
        shuntd = Appliance(
            network, rules=rules(network, [(443, 8443, "-m")]), console=True,
            device=[DEVICE + "1", DEVICE + "16"], conf=f"workers = {workers}\nidle = sleep\nsessions = 65536",
        )  # fmt: skip
        failed = cases.failed
        with cases.case(f"{how}: starts"):
            shuntd.start(within=60)
        forwards(cases, network, shuntd, workers, how, ports=(443,))
        with cases.case(f"{how}: pings to the twins' addresses, and from Linux by each twin"):
            for number, address in enumerate((network.vip, "10.2.0.1")):
                expect(client.ping(network, address, number + 1), f"no answer from {address}")
            for number, address in enumerate((network.client, *network.servers.values())):
                expect(
                    client.ping(network, address, number + 9, where="director"),
                    f"no answer from {address} to Linux",
                )
        account(cases, shuntd, how)
        if cases.failed > failed:
            print("# shuntd said:", *shuntd.log().splitlines()[-60:], sep="\n# ")
        stops(cases, shuntd, how)


def main():
    if reason := lab.why_impossible() or appliance.why_not_built():
        tap.skip_all(reason)
    cases = tap.Cases()
    counts = [int(word) for word in sys.argv[1:]] or COUNTS
    with Lab("many") as here:
        network = lab.one_network(here)
        network.vip_on_loopback()
        # NAT's local ports are below the kernel's own.
        appliance.start_servers(network, ports=(8443,), listen_on_vip=(444,))
        for workers in counts:
            for queues in QUEUES:
                run(cases, network, workers, queues)
    two_ports(cases)
    return cases.done()


sys.exit(main())
