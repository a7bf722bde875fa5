"""shuntd with a port of net_null, in a network namespace of its own, for tests of its control plane:
what its clients wait for, and what memory they take.

Waits are counted in the time that the control thread works meanwhile, not in time that goes by:
machines are busy.
"""

import json
import multiprocessing
import os
import re
import socket
import subprocess
import time

import tap
from appliance import SHUNTD, eal_options

APART = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net"]
PATIENCE_MS = 50
QUESTION = {"commands": [["-L", "--timeout"]]}
FORK = multiprocessing.get_context("fork")
TURNS = re.compile(r"control: longest turn [\d.]+ ms, ([\d.]+) ms since last shown")


def skip_where_impossible():
    if not os.path.exists(SHUNTD):
        tap.skip_all("shuntd is not built")
    if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
        tap.skip_all("network namespaces cannot be made here")


class Daemon:
    def __init__(self, folder, workers=1, megabytes=512):
        self.socket = os.path.join(folder, "shunt.sock")
        self.log = os.path.join(folder, "log")
        conf = os.path.join(folder, "conf")
        lines = [f"eal = {eal_options(f'shunt-control-{os.getpid()}', megabytes)}", "port = p0 net_null0,no-rx=1",
                 "twin = p0 control0", f"workers = {workers}", "idle = sleep", "sessions = 4096",
                 f"socket = {self.socket}"]  # fmt: skip
        with open(conf, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*APART, SHUNTD, "--conf", conf, "-i"], stdout=log, stderr=log, stdin=subprocess.PIPE
            )
        end = time.monotonic() + 60
        while not os.path.exists(self.socket) and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(120)
        client.connect(self.socket)
        return client

    def connect_as_ipvs(self):
        """To the socket of programs that believe that they speak with the kernel."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(120)
        client.connect(os.path.join(os.path.dirname(self.socket), "ipvs.sock"))
        return client

    def tell_console(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def longest_turn_ms(self):
        """Of the control loop, since this was asked last: its thread's CPU time."""
        before = os.path.getsize(self.log)
        self.tell_console("show port stats all")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with open(self.log, "rb") as log:
                log.seek(before)
                if found := TURNS.search(log.read().decode(errors="replace")):
                    return float(found[1])
            time.sleep(0.01)
        raise RuntimeError("the console does not answer")

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


def send_it(daemon, request):
    """The errors that it was answered with."""
    with daemon.connect() as client:
        return ask(client, request)["errors"]


def meanwhile(daemon, request, act=send_it):
    """Sends it from a process of its own. What others waited at most, the most memory, the answer's
    errors."""

    answers = FORK.SimpleQueue()
    process = FORK.Process(target=lambda: answers.put(act(daemon, request)))
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


def services(count, servers_each=1, scheduler="rr"):
    for number in range(count):
        service = f"10.{number >> 8}.{number & 255}.1:80"
        yield ["-A", "-t", service, "-s", scheduler]
        for server in range(servers_each):
            yield ["-a", "-t", service, "-r", f"10.255.{server}.1:80", "-m"]


def servers(count, scheduler="wlc", first=0):
    yield ["-A", "-t", "10.0.0.1:80", "-s", scheduler]
    for number in range(first, first + count):
        yield ["-a", "-t", "10.0.0.1:80", "-r", f"11.{number >> 8}.{number & 255}.1:80", "-m"]
