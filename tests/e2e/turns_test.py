#!/usr/bin/env python3
"""No turn of the control loop is long, whatever is asked of it: 10,000 services of 10 servers and one
of 10,000, on 16 workers that sleep, by the control socket, the console and the socket of programs
that believe that they speak with the kernel.

Turns are measured by shuntd itself, in CPU time of its control thread (turn_meter.h).
"""

import os
import socket
import struct
import sys
import tempfile
import time

import tap
from control_daemon import PATIENCE_MS, Daemon, ask, meanwhile, send_it, servers, services, skip_where_impossible
from tap import expect

WORKERS = 16
SERVICES, SERVERS = 10_000, 10_000
FAMILY, PROC_FILE = 1023, 1024  # lib/compat/wire.h
REQUEST, ACK, DUMP = 1, 4, 0x300
ERROR, DONE = 2, 3
DELETE_SERVICE, GET_SERVICE, SET_SERVER, GET_SERVER, ZERO, FLUSH = 3, 4, 6, 8, 16, 17  # IPVS_CMD_*


def attribute(kind, value):
    return struct.pack("<HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def service(address="10.0.0.1", port=80):
    """IPVS_CMD_ATTR_SERVICE of a TCP service."""
    return attribute(
        1 | 0x8000,
        attribute(1, struct.pack("<H", socket.AF_INET))
        + attribute(2, struct.pack("<H", socket.IPPROTO_TCP))
        + attribute(3, socket.inet_aton(address) + bytes(12))
        + attribute(4, struct.pack(">H", port)),
    )


def message(command, attributes=b"", flags=ACK):
    header = struct.pack("<IHHII", 20 + len(attributes), FAMILY, REQUEST | flags, 1, 0)
    return header + struct.pack("<BBH", command, 1, 0) + attributes


def file_request(path):
    return struct.pack("<IHHII", 16 + len(path), PROC_FILE, REQUEST, 1, 0) + path.encode()


def answers(daemon, request):
    """The error of the last message, NLMSG_ERROR or NLMSG_DONE."""
    with daemon.connect_as_ipvs() as client:
        client.send(request)
        while True:
            datagram = client.recv(1 << 16)
            kind = struct.unpack_from("<IH", datagram)[1]
            if kind in (ERROR, DONE):
                error = struct.unpack_from("<i", datagram, 16)[0]
                return [f"error {-error}"] if error else []


def console(daemon, line):
    """Returns when it has been answered."""
    before = os.path.getsize(daemon.log)
    daemon.tell_console(f"{line}\nshow end")
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with open(daemon.log, "rb") as log:
            log.seek(max(before, os.path.getsize(daemon.log) - 1000))
            if b"cannot show 'end'" in log.read():
                return []
        time.sleep(0.05)
    return ["no answer"]


def one(*words):
    return {"commands": [list(words)]}


class Turns:
    def __init__(self, cases, daemon):
        self.cases, self.daemon = cases, daemon

    def during(self, what, request, act=send_it, settle=0.3, patience=PATIENCE_MS):
        """A case: neither this, nor what comes of it, makes a turn long."""
        with self.cases.case(what):
            self.daemon.longest_turn_ms()
            waited, _, errors = meanwhile(self.daemon, request, act)
            time.sleep(settle)
            turn = self.daemon.longest_turn_ms()
            print(f"# longest turn {turn:.1f} ms")
            expect(errors == [], f"{errors[:3]}")
            expect(turn < patience, f"a turn took {turn:.0f} ms")
            expect(waited < patience, f"others waited for {waited:.0f} ms of work")


def many_services(turns):
    fill = {"commands": list(services(SERVICES, 10)), "atomic": True}
    turns.during(f"{SERVICES} services of 10 servers, all or none", fill)
    turns.during("their counters are read for averages", one("-L", "--timeout"), settle=2.5)
    turns.during("they are listed", one("-L", "--stats"))
    turns.during("they are listed on the console", "-L -n --stats", console)
    turns.during("connections are listed", one("-L", "-c"))
    turns.during("connections are listed on the console", "-L -n -c", console)
    turns.during("programs list them", message(GET_SERVICE, flags=DUMP), answers)
    for name in ("ip_vs", "ip_vs_stats", "ip_vs_conn"):
        turns.during(f"programs read /proc/net/{name}", file_request(f"/proc/net/{name}"), answers)
    turns.during("one of them is edited", one("-E", "-t", "10.0.1.1:80", "-s", "wrr"))
    turns.during("counters are zeroed", one("-Z"))
    turns.during("counters are zeroed by a program", message(ZERO), answers)
    turns.during("all are removed", one("-C"), settle=1)
    turns.during("a service is added then", one("-A", "-t", "10.99.0.1:80"))
    turns.during("they come back line by line", {"commands": list(services(SERVICES, 10))})
    turns.during("a program removes all", message(FLUSH), answers, settle=1)
    turns.during("they come back", fill)
    turns.during("the console removes all", "-C", console, settle=1)


def large_service(turns):
    for scheduler in ("wlc", "wrr", "maglev"):
        fill = {"commands": [["-C"], *servers(SERVERS, scheduler)]}
        # A table of maglev for so many is one step, and telling the workers another: about 50 ms together.
        turns.during(f"{SERVERS} servers of one service, {scheduler}", fill,
                     patience=PATIENCE_MS * (2 if scheduler == "maglev" else 1))  # fmt: skip
        edit = ("-t", "10.0.0.1:80", "-r", "11.0.9.1:80")
        turns.during("the weight of one is edited", one("-e", *edit, "-m", "-w", "5"))
        turns.during("one is removed", one("-d", *edit))
    edits = [["-e", "-t", "10.0.0.1:80", "-r", f"11.0.{n}.1:80", "-m", "-w", str(n)] for n in range(10, 200)]
    turns.during("many are edited, line by line", {"commands": edits})
    turns.during("it is listed", one("-L", "--rate"))
    turns.during("programs list its servers", message(GET_SERVER, service(), DUMP), answers)
    turns.during("programs read them in /proc/net/ip_vs", file_request("/proc/net/ip_vs"), answers)
    server = attribute(
        2 | 0x8000,
        attribute(1, socket.inet_aton("11.0.1.1") + bytes(12))
        + attribute(2, struct.pack(">H", 80))
        + attribute(3, struct.pack("<I", 0))
        + attribute(4, struct.pack("<i", 7))
        + attribute(5, struct.pack("<I", 0))
        + attribute(6, struct.pack("<I", 0)),
    )
    edit = message(SET_SERVER, service() + server, flags=0)
    edits = edit * (16000 // len(edit)) + message(GET_SERVICE, service())
    turns.during(f"a program sends {16000 // len(edit)} edits in a datagram", edits, answers)
    turns.during("a program removes it", message(DELETE_SERVICE, service()), answers)


def harmful_programs(cases, daemon):
    with cases.case("programs that open a thousand connections, do not read or send half frames harm nobody"):
        with daemon.connect() as client:
            ask(client, {"commands": list(services(2000, 2)), "atomic": True})
        before = daemon.memory_mb()
        daemon.longest_turn_ms()
        deaf = [daemon.connect_as_ipvs() for _ in range(100)]
        for client in deaf:
            client.setblocking(False)
            try:
                for _ in range(50):
                    client.send(message(GET_SERVICE, flags=DUMP))
            except OSError:
                pass
        half = [daemon.connect_as_ipvs() for _ in range(1, 20)]
        for client, length in zip(half, range(1, 20), strict=True):
            client.send(message(FLUSH)[:length])
        silent = []
        for _ in range(1000):
            silent.append(daemon.connect_as_ipvs())
        taken = daemon.memory_mb() - before
        turn = daemon.longest_turn_ms()
        waited, _, errors = meanwhile(daemon, message(GET_SERVICE, service()), answers)
        print(f"# {taken:.0f} MB taken, longest turn {turn:.1f} ms")
        expect(errors == [], f"{errors}")
        expect(taken < 16, f"they took {taken:.0f} MB")
        expect(max(turn, waited) < PATIENCE_MS, f"a turn took {turn:.0f} ms, others waited {waited:.0f} ms")
        with daemon.connect() as client:
            listed = ask(client, one("-L", "-t", "10.0.0.1:80"))
        expect(listed["errors"] == [], f"half a request flushed everything: {listed['errors']}")
        for client in deaf + half + silent:
            client.close()


def main():
    skip_where_impossible()
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-turns-") as folder:
        daemon = Daemon(folder, WORKERS, megabytes=1024)
        try:
            turns = Turns(cases, daemon)
            many_services(turns)
            large_service(turns)
            harmful_programs(cases, daemon)
        finally:
            daemon.process.terminate()
            status = daemon.process.wait(10)
        with cases.case("no turn was counted as long, and shuntd ends as it is told"):
            with open(daemon.log, encoding="utf-8", errors="replace") as log:
                expect("long_turns" not in log.read(), "the log has an alarm")
            expect(status == 0, f"status {status}")
    return cases.done()


sys.exit(main())
