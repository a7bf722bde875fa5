#!/usr/bin/env python3
"""scale.py SHUNTD SHUNTADM [--services N] [--servers N] [--json]: how long an administrator waits
with many services: to restore them, to list them, and for one edit.

A real shuntd in a network namespace of its own, with a null port that receives as fast as its
worker takes, so that workers hold tables while they are replaced. Times are those of the shuntadm
processes, start and end included, and beside them what they and the daemon's control thread
computed, which is what a machine with idle cores takes; edits are medians of several. Needs root. Exit 0, 1 when
something did not work, 77 when it cannot run here. No time makes it fail.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

WANTED = {"restore": 2, "list": 1, "edit weight": 0.01, "add server": 0.01, "delete server": 0.01,
          "add service": 0.01, "delete service": 0.01}
EDITS = 21


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


class Failed(Exception):
    pass


class Shunt:
    """shuntd while it lasts."""

    def __init__(self, shuntd, shuntadm, directory):
        self.shuntadm, self.socket = shuntadm, os.path.join(directory, "shunt.sock")
        self.log = open(os.path.join(directory, "log"), "w+")
        conf = os.path.join(directory, "shunt.conf")
        with open(conf, "w") as file:
            file.write(f"port = p0 net_null0\nsocket = {self.socket}\nworkers = 1\n"
                       "idle = yield\nsessions = 1024\n"
                       "eal = --no-pci --no-huge --no-shconf -m 512 --iova-mode=va "
                       f"--file-prefix=shunt-scale-{os.getpid()}\n")
        open(os.path.join(directory, "empty.rules"), "w").close()
        self.process = subprocess.Popen(
            ["unshare", "--net", shuntd, "--conf", conf, "--rules",
             os.path.join(directory, "empty.rules")],
            stdout=self.log, stderr=subprocess.STDOUT)
        self.daemon, self.cpu = self.process.pid, 0.0  # unshare becomes shuntd
        end = time.monotonic() + 30
        while not self.try_adm("-L")[0] == 0:
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                self.log.seek(0)
                raise Failed("shuntd does not start: " + self.log.read()[-500:])
            time.sleep(0.05)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def try_adm(self, *words, text=""):
        done = subprocess.run([self.shuntadm, "--socket", self.socket, *words], input=text,
                              capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def computed(self):
        """Seconds of CPU of the control thread, and of shuntadm processes that have ended."""
        with open(f"/proc/{self.daemon}/task/{self.daemon}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime

    def adm(self, *words, text=""):
        """(seconds, output)"""
        begin, before = time.monotonic(), self.computed()
        status, out, err = self.try_adm(*words, text=text)
        taken = time.monotonic() - begin
        self.cpu = self.computed() - before
        if status != 0:
            raise Failed(f"shuntadm {' '.join(words)}: {err.strip()[-300:]}")
        return taken, out


def median(pairs):
    return tuple(map(statistics.median, zip(*pairs)))


def measure(shunt, services, servers):
    """(seconds, of CPU) by what was done; checks what it left behind."""
    times = {}
    lines = rules(services, servers)
    seconds, _ = shunt.adm("-R", text="\n".join(lines) + "\n")
    times["restore"] = seconds, shunt.cpu
    taken = []
    for _ in range(3):
        seconds, listing = shunt.adm("-Ln")
        taken.append((seconds, shunt.cpu))
    times["list"] = median(taken)
    if len(listing.splitlines()) != 3 + len(lines):
        raise Failed(f"-Ln has {len(listing.splitlines())} lines, not {3 + len(lines)}")
    service = lines[len(lines) // 2 // (1 + servers) * (1 + servers)].split()[2]
    server = ["-t", service, "-r", "10.127.0.1:8080"]
    kinds = {"add service": ["-A", "-t", "10.63.0.1:80", "-s", "rr"], "delete service": ["-D", "-t", "10.63.0.1:80"],
             "add server": ["-a", *server, "-m"], "edit weight": ["-e", *server, "-m", "-w", "7"],
             "delete server": ["-d", *server]}
    for words in kinds.values():
        shunt.adm(*words)
    taken = {kind: [] for kind in kinds}
    for _ in range(EDITS):
        for kind, words in kinds.items():
            taken[kind].append((shunt.adm(*words)[0], shunt.cpu))
    times.update({kind: median(pairs) for kind, pairs in taken.items()})
    if shunt.adm("-Sn")[1].splitlines() != shunt.adm("-Sn")[1].splitlines():
        raise Failed("two listings differ")
    nothing = [(shunt.adm("--sysctl")[0], shunt.cpu) for _ in range(EDITS)]
    times["a command that changes nothing"] = median(nothing)
    seconds, _ = shunt.adm("-C")
    times["clear"] = seconds, shunt.cpu
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shuntd")
    parser.add_argument("shuntadm")
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("scale: needs root and /dev/net/tun", file=sys.stderr)
        return 77
    with tempfile.TemporaryDirectory(prefix="shunt-scale-") as directory:
        try:
            shunt = Shunt(given.shuntd, given.shuntadm, directory)
            try:
                times = measure(shunt, given.services, given.servers)
            finally:
                shunt.close()
        except Failed as failed:
            print(f"scale: {failed}", file=sys.stderr)
            return 1
    if given.json:
        print(json.dumps({what: {"seconds": seconds, "cpu": cpu} for what, (seconds, cpu) in times.items()}))
        return 0
    print(f"{given.services} services with {given.servers} servers each")
    for what, (seconds, cpu) in times.items():
        wanted = f"   wanted: {WANTED[what] * 1000:5.0f}" if what in WANTED else ""
        print(f"{what:32} {seconds * 1000:8.1f} ms, of CPU {cpu * 1000:7.1f}{wanted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
