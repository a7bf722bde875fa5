#!/usr/bin/env python3
"""scale.py [--services N] [--servers N] [--rate PACKETS] [--json]: how long an administrator waits
with many services, to restore them, to list them and for one edit, while packets flow; and whether
one is lost.

A real shuntd in a network namespace of its own, out of $SHUNT_BUILD. Its port is made of rings in
shared memory (net_memif); at their other end shunt-ring-peer plays clients and servers of three more
services, and compares every packet that comes with what must come. Times are those of the shuntadm
processes, start and end included, and beside them what they and the daemon's control thread
computed, which is what a machine with idle cores takes; edits are medians of several. Needs root.
Exit 0; 1 when something did not work, or a packet was lost, changed or dropped; 77 when it cannot run
here. No time makes it fail.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import lab  # noqa: E402
from appliance import BUILD, SHUNTADM, SHUNTD, Appliance  # noqa: E402

PEER = os.path.join(BUILD, "tests/bench/shunt-ring-peer")
WANTED = {"restore": 2, "list": 1, "edit weight": 0.01, "add server": 0.01, "delete server": 0.01,
          "add service": 0.01, "delete service": 0.01, "edit weight under traffic": 0.01,
          "add server under traffic": 0.01, "delete server under traffic": 0.01}
EDITS = 21
MAC = "02:5b:00:00:00:01"  # the port's, whom the peer sends to
# Protocol, client, address and port of the services with traffic; their rules; who is asked for.
TRAFFIC = ["tcp 203.0.113.7 198.51.100.1 80", "udp 203.0.113.7 198.51.100.2 53",
           "tcp 2001:db8:cafe::7 2001:db8:f::1 80"]
TRAFFIC_RULES = [
    "-A -t 198.51.100.1:80 -s rr",
    *(f"-a -t 198.51.100.1:80 -r 10.1.0.{n}:8080 -m -w 1" for n in range(1, 5)),
    "-A -u 198.51.100.2:53 -s mh",
    *(f"-a -u 198.51.100.2:53 -r 10.2.0.{n}:53 -g -w 1" for n in range(1, 5)),
    "-A -t [2001:db8:f::1]:80 -s mh -b mh-port",
    *(f"-a -t [2001:db8:f::1]:80 -r [2001:db8:1::{n}]:8080 -m -w 1" for n in range(1, 5)),
]
NEIGHBOURS = ["203.0.113.7", "2001:db8:cafe::7"] + [
    f"{net}{n}" for net in ("10.1.0.", "10.2.0.", "2001:db8:1::") for n in range(1, 5)]


class Failed(Exception):
    pass


def rules(services, servers):
    """ -S's lines of services on 10.64.0.0/10, each with servers of its own on 10.128.0.0/9."""
    lines = []
    for s in range(services):
        service = f"-t 10.64.{s // 250}.{1 + s % 250}:80"
        lines.append(f"-A {service} -s rr")
        for n in range(servers):
            number = s * servers + n
            server = f"10.{128 + number // 62500}.{number // 250 % 250}.{1 + number % 250}:8080"
            lines.append(f"-a {service} -r {server} -m -w 1")
    return lines


class Shunt(Appliance):
    """shuntd behind rings, and what its commands cost."""

    def __init__(self, here):
        here.add("director")
        addresses = ["198.51.100.1/32", "198.51.100.2/32", "2001:db8:f::1/128"]
        network = lab.Network(here, "", "", "", "", [lab.Port("", "p0", addresses)])
        self.rings = os.path.join(here.directory, "rings")
        super().__init__(network, conf="sessions = 4096", rules="\n".join(TRAFFIC_RULES) + "\n", console=True,
                         device=f"net_memif{{number}},role=server,socket-abstract=no,socket={self.rings},mac={MAC}")
        self.cpu = 0.0

    def start(self, within=30):
        super().start(within)
        for family in ("-4", "-6"):
            self.lab.ip("director", f"{family} route add default dev p0")
        for number, address in enumerate(NEIGHBOURS):
            self.lab.ip("director", f"neigh replace {address} lladdr 02:00:00:00:01:{number:02x} dev p0 nud permanent")

    def computed(self):
        """Seconds of CPU of the control thread, and of shuntadm processes that have ended."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime

    def timed(self, *words, text=""):
        """(seconds, output)"""
        begin, before = time.monotonic(), self.computed()
        done = subprocess.run([SHUNTADM, "--socket", self.socket, *words], input=text,
                              capture_output=True, text=True)
        taken = time.monotonic() - begin
        self.cpu = self.computed() - before
        if done.returncode != 0:
            raise Failed(f"shuntadm {' '.join(words)}: {done.stderr.strip()[-300:]}")
        return taken, done.stdout


class Traffic:
    """Packets through the rings while it lasts."""

    def __init__(self, shunt, rate):
        self.log = open(shunt.path("peer.log"), "w+")
        words = [word for service in TRAFFIC for word in service.split()]
        self.process = subprocess.Popen([PEER, shunt.rings, str(rate), *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        while True:  # DPDK says things, too
            line = self.process.stdout.readline()
            if line == "flowing\n":
                break
            if not line:
                self.fail("does not begin")

    def fail(self, what):
        self.close()
        self.log.seek(0)
        raise Failed(f"shunt-ring-peer {what}: {self.log.read().strip()[-500:]}")

    def received(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline().split()[1])
        except (BrokenPipeError, IndexError):
            self.fail("ended")

    def end(self):
        """What it says when nothing is under way any more."""
        self.process.stdin.close()
        said = self.process.stdout.read()
        if self.process.wait(30) != 0:
            self.fail("ended")
        return json.loads(said[said.rindex("{"):])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def median(pairs):
    return tuple(map(statistics.median, zip(*pairs)))


def measure(shunt, traffic, services, servers):
    """(seconds, of CPU) by what was done, and the packets that came meanwhile."""
    times, packets = {}, {}

    def flowing(what, do):
        before = traffic.received()
        result = do()
        packets[what] = traffic.received() - before
        if packets[what] == 0:
            raise Failed(f"no packet came during {what}")
        return result

    lines = rules(services, servers)
    seconds, _ = flowing("restore", lambda: shunt.timed("-R", text="\n".join(lines) + "\n"))
    times["restore"] = seconds, shunt.cpu
    listings = []

    def list_all():
        seconds, listing = shunt.timed("-Ln")
        listings.append(len(listing.splitlines()))
        return seconds, shunt.cpu

    times["list"] = median(flowing("list", lambda: [list_all() for _ in range(3)]))
    if set(listings) != {3 + len(lines) + len(TRAFFIC_RULES)}:
        raise Failed(f"-Ln has {listings} lines, not {3 + len(lines) + len(TRAFFIC_RULES)}")
    service = lines[len(lines) // 2 // (1 + servers) * (1 + servers)].split()[2]
    kinds = {"add service": ["-A", "-t", "10.63.0.1:80", "-s", "rr"],
             "delete service": ["-D", "-t", "10.63.0.1:80"]}
    for at, under in ((service, ""), ("198.51.100.1:80", " under traffic")):
        server = ["-t", at, "-r", "10.127.0.1:8080"]
        kinds["add server" + under] = ["-a", *server, "-m"]
        kinds["edit weight" + under] = ["-e", *server, "-m", "-w", "7"]
        kinds["delete server" + under] = ["-d", *server]
    for words in kinds.values():
        shunt.timed(*words)

    def edit():
        taken = {kind: [] for kind in kinds}
        for _ in range(EDITS):
            for kind, words in kinds.items():
                taken[kind].append((shunt.timed(*words)[0], shunt.cpu))
        return taken

    times.update({kind: median(pairs) for kind, pairs in flowing("edits", edit).items()})
    if shunt.timed("-Sn")[1].splitlines() != shunt.timed("-Sn")[1].splitlines():
        raise Failed("two listings differ")
    nothing = [(shunt.timed("--sysctl")[0], shunt.cpu) for _ in range(EDITS)]
    times["a command that changes nothing"] = median(nothing)
    return times, packets


def account(shunt, told, before):
    """Sent, received, and what shuntd counted: nothing may be missing. `before`: dropped while
    nobody was at the other end of the rings."""
    stats = shunt.port_stats()
    told["dropped"] = sum(stats.dropped.values()) - before
    told["unaccounted"] = stats.unaccounted()
    wrong = [f"{n} {what}" for what in ("lost", "twice", "wrong", "dropped", "unaccounted") if (n := told[what])]
    if told["sent"] != told["received"] or wrong:
        raise Failed(f"of {told['sent']} packets {told['received']} came: {', '.join(wrong)} {stats.dropped or ''}")


def run(given):
    with lab.Lab("scale") as here:
        shunt = Shunt(here)
        shunt.start()
        traffic = Traffic(shunt, given.rate)
        before = sum(shunt.port_stats().dropped.values())
        try:
            times, packets = measure(shunt, traffic, given.services, given.servers)
            told = traffic.end()
        finally:
            traffic.close()
        lab.wait_until(lambda: shunt.port_stats().unaccounted() == 0, "shuntd does not account for all packets")
        account(shunt, told, before)
        seconds, _ = shunt.timed("-C")
        times["clear"] = seconds, shunt.cpu
        shunt.stop()
    return times, packets, told


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if impossible := lab.why_impossible():
        print(f"scale: {impossible}")
        return 77
    if missing := [program for program in (SHUNTD, SHUNTADM, PEER) if not os.path.exists(program)]:
        print(f"scale: {missing[0]} is not built", file=sys.stderr)
        return 1
    try:
        times, packets, told = run(given)
    except (Failed, lab.Failure) as failed:
        print(f"scale: {failed}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps({"times": {what: {"seconds": seconds, "cpu": cpu} for what, (seconds, cpu) in times.items()},
                          "packets": packets, "traffic": told}))
        return 0
    print(f"{given.services} services with {given.servers} servers each")
    for what, (seconds, cpu) in times.items():
        wanted = f"   wanted: {WANTED[what] * 1000:5.0f}" if what in WANTED else ""
        print(f"{what:32} {seconds * 1000:8.1f} ms, of CPU {cpu * 1000:7.1f}{wanted}")
    print("packets that came meanwhile: " + ", ".join(f"{what} {n}" for what, n in packets.items()))
    print(f"packets sent {told['sent']}, forwarded {told['received']}, lost {told['lost']}, dropped "
          f"{told['dropped']}; the longest wait for one {told['longest_wait'] * 1000:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
