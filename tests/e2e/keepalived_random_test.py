#!/usr/bin/env python3
"""Servers are killed and started again at random, and in between shuntd itself: keepalived, unmodified,
keeps the table right, new connections reach living servers, and kept ones of living servers stay.

    client 10.1.0.2 -- front [director: shuntd, keepalived] back --+-- s1 10.2.0.11   NAT, port 8443
                                                                   +-- s2 10.2.0.12
                                                                   +-- s3 10.2.0.13

keepalived_random_test.py [SECONDS]   30; `scripts/test --all` runs 300
"""

import random
import re
import socket
import sys
import threading
import time

import appliance
import client
import lab
import tap
from appliance import Appliance
from keepalived import Keepalived, why_no_keepalived
from lab import Lab
from tap import expect

PORT = 8443
DELAY_LOOP, CONNECT_TIMEOUT, RETRY, DELAY_BEFORE_RETRY = 1, 1, 2, 1
# The longest that keepalived may take until it has noticed, and a second for a busy machine.
NOTICED = DELAY_LOOP + RETRY * DELAY_BEFORE_RETRY + (RETRY + 1) * CONNECT_TIMEOUT + 1
KEPT = 9  # connections that stay open
GAP = 10  # seconds until a shuntd that was killed is back

CHECKS = {
    "s1": "TCP_CHECK {{\n{times}\n}}",
    "s2": "HTTP_GET {{\nurl {{\npath /\nstatus_code 200\n}}\n{times}\n}}",
    "s3": "TCP_CHECK {{\n{times}\n}}",
}


def configuration(network):
    times = f"connect_timeout {CONNECT_TIMEOUT}\nretry {RETRY}\ndelay_before_retry {DELAY_BEFORE_RETRY}"
    text = f"virtual_server {network.vip} {PORT} {{\ndelay_loop {DELAY_LOOP}\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n"
    for name, address in network.servers.items():
        more = "inhibit_on_failure\n" if name == "s3" else ""
        text += f"real_server {address} {PORT} {{\n{more}{CHECKS[name].format(times=times)}\n}}\n"
    return text + "}\n"


class Requests(threading.Thread):
    """New connections, one after the other, each with one request; what became of each."""

    def __init__(self, network):
        super().__init__(daemon=True)
        self.network, self.ended = network, threading.Event()
        self.failed = []  # (when it began, when it ended, why)
        self.answered = 0

    def run(self):
        with self.network.lab.inside("client"):
            while not self.ended.is_set():
                began = time.monotonic()
                try:
                    self.ask()
                    self.answered += 1
                except OSError as error:
                    self.failed.append((began, time.monotonic(), str(error)))
                time.sleep(0.02)

    def ask(self):
        with socket.create_connection((self.network.vip, PORT), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while more := connection.recv(4096):
                answer += more
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"the answer was {answer[:40]}")

    def end(self):
        self.ended.set()
        self.join()


class Scene:
    def __init__(self, network, shuntd, keepalived):
        self.network, self.shuntd, self.keepalived = network, shuntd, keepalived
        self.servers = {}  # name -> process of those that live
        self.windows = []  # (from, to): a dead server was still in the table, or shuntd was gone
        self.slowest = 0
        self.kept = {}  # name -> connections
        self.ports = iter(range(20000, 30000))

    def serve(self, name):
        end = f"{self.network.servers[name]}:{PORT}"
        process = self.network.lab.start(name, appliance.SERVER, name, end)
        lab.wait_until(lambda: "ready" in self.network.lab.log_of(process), f"server {name} did not come up")
        self.servers[name] = process

    def usable(self):
        text = self.shuntd.adm("-L", "-n", "-t", f"{self.network.vip}:{PORT}", check=False)
        return {m[1] for m in re.finditer(r"-> ([0-9.]+):\d+ +Masq +(\d+)", text) if int(m[2]) > 0}

    def is_right(self):
        return self.usable() == {self.network.servers[name] for name in self.servers}

    def wait_until_right(self, within=NOTICED):
        began = time.monotonic()
        lab.wait_until(self.is_right, f"the table has {self.usable()}, and {sorted(self.servers)} live", within)
        self.slowest = max(self.slowest, time.monotonic() - began)

    def kill(self, name):
        for connection in self.kept.pop(name, []):
            connection.close()
        began = time.monotonic()
        process = self.servers.pop(name)
        process.kill()
        process.wait()
        self.wait_until_right()
        self.windows.append((began, time.monotonic()))

    def keep(self):
        """Opens connections until there are as many as there should be, and knows whose each is."""
        while sum(map(len, self.kept.values())) < KEPT:
            connection = client.Kept(self.network, self.network.vip, PORT, next(self.ports))
            connection.ask()
            self.kept.setdefault(connection.answer(), []).append(connection)

    def ask_kept(self):
        for name, connections in self.kept.items():
            for connection in connections:
                connection.ask()
                answer = connection.answer(5)
                expect(answer == name, f"a connection to {name} was answered by {answer}")

    def crash(self):
        """Kills shuntd and starts it again; its table must be as before from the first moment."""
        self.wait_until_right()
        before, began = self.shuntd.adm("-S", "-n"), time.monotonic()
        self.shuntd.process.kill()
        self.shuntd.process.wait()
        self.shuntd.start(GAP)
        after = self.shuntd.adm("-S", "-n")
        print(f"# shuntd was gone for {time.monotonic() - began:.1f} s")
        # What a check in the gap found may be there, too, but no rule is lost.
        expect(after == before, f"before:\n{before}\nafter:\n{after}")
        self.wait_until_right(2 * NOTICED)
        self.windows.append((began, time.monotonic()))
        # Sessions live in shuntd.
        for connections in self.kept.values():
            for connection in connections:
                connection.close()
        self.kept = {}


def at_random(cases, scene, seconds):
    rng = random.Random(1)
    requests = Requests(scene.network)
    requests.start()
    began = time.monotonic()
    crashes = [began + seconds * part for part in (0.4, 0.75)]
    with cases.case(f"servers die and return for {seconds} s, and shuntd twice: the table follows within {NOTICED} s"):
        while time.monotonic() < began + seconds:
            if crashes and time.monotonic() > crashes[0]:
                crashes.pop(0)
                scene.crash()
            name = rng.choice(list(scene.network.servers))
            if name not in scene.servers:
                scene.serve(name)
                scene.wait_until_right()
            elif len(scene.servers) > 1:
                scene.kill(name)
            scene.keep()
            for _ in range(rng.randrange(1, 4)):
                scene.ask_kept()
                time.sleep(0.2)
        print(f"# the table followed within {scene.slowest:.1f} s; {len(scene.windows)} servers and daemons died")
    requests.end()
    with cases.case("no request went to a dead server once that was noticed"):
        # One that began in a window may end later.
        lost = [one for one in requests.failed
                if not any(start <= one[1] and one[0] <= end for start, end in scene.windows)]  # fmt: skip
        print(f"# {requests.answered} requests were answered, {len(requests.failed)} were not while a death was unnoticed")
        expect(requests.answered > seconds, f"only {requests.answered} requests were answered")
        expect(not lost, f"{len(lost)} failed: {[(f'{one[0] - began:.1f} s', one[2]) for one in lost[:3]]}")


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    if reason := lab.why_impossible() or appliance.why_not_built() or why_no_keepalived():
        tap.skip_all(reason)
    cases = tap.Cases()
    with Lab("random") as made:
        network = lab.two_networks(made)
        shuntd = Appliance(network, conf=f"journal = {made.directory}/state")
        shuntd.start()
        keepalived = Keepalived(shuntd)
        scene = Scene(network, shuntd, keepalived)
        for name in network.servers:
            scene.serve(name)
        keepalived.start(configuration(network), "-C")
        try:
            with cases.case("keepalived makes its service"):
                lab.wait_until(scene.is_right, "the table is not filled", 20)
                scene.keep()
            at_random(cases, scene, seconds)
            with cases.case("keepalived lives, and its log has no error of IPVS"):
                expect(keepalived.process.poll() is None, keepalived.log()[-1000:])
                expect(not keepalived.errors(), "\n".join(keepalived.errors()[:5]))
        finally:
            print("\n".join(f"# keepalived: {line}" for line in keepalived.log().splitlines()[-5:]))
    return cases.done()


if __name__ == "__main__":
    sys.exit(main())
