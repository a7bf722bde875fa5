#!/usr/bin/env python3
"""The control socket under clients that want too much: what others wait for, what memory it takes.

One shuntd with a port of net_null (control_daemon.py).
"""

import sys
import tempfile
import time

import tap
from control_daemon import FORK, PATIENCE_MS, QUESTION, Daemon, ask, meanwhile, servers, services, skip_where_impossible
from tap import expect


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
    skip_where_impossible()
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
