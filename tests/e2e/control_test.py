#!/usr/bin/env python3
"""The control socket under clients that want too much: what others wait for, what memory it takes.

Others' waits are counted in the time that the control thread works meanwhile, not in time that goes
by: machines are busy. One shuntd with a port of net_null, in a network namespace of its own.
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time

import tap
from appliance import SHUNTD, eal_options
from tap import expect

APART = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net"]
PATIENCE_MS = 50
QUESTION = {"commands": [["-L", "--timeout"]]}
FORK = multiprocessing.get_context("fork")


class Daemon:
    def __init__(self, folder):
        self.socket = os.path.join(folder, "shunt.sock")
        self.log = os.path.join(folder, "log")
        conf = os.path.join(folder, "conf")
        lines = [f"eal = {eal_options(f'shunt-control-{os.getpid()}')}", "port = p0 net_null0", "twin = p0 control0",
                 "workers = 1", "idle = sleep", "sessions = 4096", f"socket = {self.socket}"]  # fmt: skip
        with open(conf, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*APART, SHUNTD, "--conf", conf], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not os.path.exists(self.socket) and time.monotonic() < end:
            time.sleep(0.05)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(120)
        client.connect(self.socket)
        return client

    def worked_ms(self):
        """What its control thread has worked so far."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e6

    def memory_mb(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def ask(client, request):
    line = request if isinstance(request, bytes) else json.dumps(request).encode()
    client.sendall(line + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        received = client.recv(1 << 20)
        if not received:
            break
        answer += received
    return json.loads(answer)


def meanwhile(daemon, request):
    """Sends it from a process of its own. What others waited at most, the most memory, the answer's
    errors."""

    def send(answers):
        with daemon.connect() as client:
            answers.put(ask(client, request)["errors"])

    answers = FORK.SimpleQueue()
    process = FORK.Process(target=send, args=(answers,))
    process.start()
    waited, memory = 0, 0
    with daemon.connect() as client:
        while answers.empty():
            before = daemon.worked_ms()
            ask(client, QUESTION)
            waited = max(waited, daemon.worked_ms() - before)
            memory = max(memory, daemon.memory_mb())
            time.sleep(0.001)
    errors = answers.get()
    process.join()
    print(f"# others waited for {waited:.1f} ms of work, {memory:.0f} MB")
    return waited, memory, errors


def ask_often(daemon, ready, waits):
    """Of a process of its own, which asks while others flood the socket; what it waited at most."""
    waited = 0
    try:
        with daemon.connect() as client:
            ask(client, QUESTION)
            ready.put(True)
            for _ in range(100):
                before = daemon.worked_ms()
                ask(client, QUESTION)
                waited = max(waited, daemon.worked_ms() - before)
                time.sleep(0.01)
    except OSError as error:
        print(f"# it was driven out: {error}", flush=True)
        waited = float("inf")
    if ready.empty():
        ready.put(True)
    waits.put(waited)


def services(count):
    for number in range(count):
        service = f"10.{number >> 8}.{number & 255}.1:80"
        yield ["-A", "-t", service, "-s", "rr"]
        yield ["-a", "-t", service, "-r", "10.255.0.1:80", "-m"]


def servers(count):
    yield ["-A", "-t", "10.0.0.1:80", "-s", "wlc"]
    for number in range(count):
        yield ["-a", "-t", "10.0.0.1:80", "-r", f"11.{number >> 8}.{number & 255}.1:80", "-m"]


def large_requests(cases, daemon):
    with cases.case("five million commands are refused by their number, and take neither time nor memory"):
        before = daemon.memory_mb()
        waited, memory, errors = meanwhile(daemon, b'{"commands":[' + b"[]," * 5_500_000 + b"[]]}")
        expect(errors == [{"index": 0, "status": 2, "message": "a request has at most 327680 commands"}], f"{errors}")
        expect(waited < PATIENCE_MS, f"others waited for {waited:.0f} ms of work")
        expect(memory - before < 32, f"it took {memory - before:.0f} MB")
    for name, commands in (
        ("4,201 lines", list(servers(4200))),
        ("12,002 lines about one service", [["-C"], *servers(12_000)]),
        ("20,000 lines about 10,000 services", [["-C"], *services(10_000)]),
    ):
        for kind in ({}, {"atomic": True}):
            with cases.case(f"others are served while a request has {name}{', all or none' * bool(kind)}"):
                with daemon.connect() as client:
                    ask(client, {"commands": [["-C"]]})
                waited, _, errors = meanwhile(daemon, {"commands": commands, **kind})
                expect(errors == [], f"{errors[:3]}")
                expect(waited < PATIENCE_MS, f"they waited for {waited:.0f} ms of work")
    with cases.case("others are served while all of that is listed, and removed"):
        for command in ("-L", "-C"):
            waited, _, errors = meanwhile(daemon, {"commands": [[command]]})
            expect(errors == [], f"{errors}")
            expect(waited < PATIENCE_MS, f"{command}: they waited for {waited:.0f} ms of work")


def slow_clients(cases, daemon):
    with cases.case("clients that do not read take no memory to speak of, and leave none"):
        with daemon.connect() as client:
            ask(client, {"commands": list(services(10_000))})
        before, slow = daemon.memory_mb(), []
        for _ in range(50):
            slow.append(daemon.connect())
            slow[-1].sendall(b'{"commands":[["-L","--stats"]]}\n' * 100)
        time.sleep(5)
        taken = daemon.memory_mb() - before
        for client in slow:
            client.close()
        with daemon.connect() as client:
            ask(client, {"commands": [["-C"]]})
        time.sleep(0.5)
        left = daemon.memory_mb() - before
        print(f"# {taken:.0f} MB taken, {left:.0f} MB left")
        expect(taken < 30, f"they took {taken:.0f} MB")
        expect(left < 16, f"they left {left:.0f} MB")
    with cases.case("clients that send half a request, and a thousand that say nothing, harm nobody"):
        ready, waits = FORK.SimpleQueue(), FORK.SimpleQueue()
        process = FORK.Process(target=ask_often, args=(daemon, ready, waits))
        process.start()
        ready.get()
        half = [daemon.connect() for _ in range(20)]
        for client in half:
            client.setblocking(False)
            try:
                client.sendall(b'{"commands":[' + b'["-L","0123456789"],' * 100_000)
            except OSError:  # it would block, or made room
                pass
        silent = [daemon.connect() for _ in range(1000)]
        waited = waits.get()
        process.join()
        for client in half + silent:
            client.close()
        expect(waited < PATIENCE_MS, f"another process waited for {waited:.0f} ms of work")
    with cases.case("a NUL byte in a word is refused"):
        with daemon.connect() as client:
            (error,) = ask(client, {"commands": [["-C\0", "-x"]]})["errors"]
        expect("NUL byte" in error["message"] and error["status"] == 2, f"{error}")


def main():
    if not os.path.exists(SHUNTD):
        tap.skip_all("shuntd is not built")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("network namespaces cannot be made here")
    cases = tap.Cases()
    with tempfile.TemporaryDirectory(prefix="shunt-control-") as folder:
        daemon = Daemon(folder)
        try:
            slow_clients(cases, daemon)  # first: what large requests leave would hide what they leave
            large_requests(cases, daemon)
        finally:
            daemon.process.terminate()
            status = daemon.process.wait(10)
        with cases.case("and shuntd ends as it is told"):
            expect(status == 0, f"status {status}")
    return cases.done()


sys.exit(main())
