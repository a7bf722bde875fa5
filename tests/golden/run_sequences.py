#!/usr/bin/env python3
"""Every connection of the recorded sequences (sequences/*.txt), asked of shunt-replay: the same
rules, traffic and edits, and --explain's server is compared with the recorded one.

usage: run_sequences.py BUILD_DIR [FILE...]
"""

import ast
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packet
import pcap

HERE = os.path.dirname(os.path.abspath(__file__))
GATEWAY, DIRECTOR = "02:00:00:00:00:fe", "02:5b:00:00:00:01"
FIRST_PORT = 2000
STEP, GAP = 0.05, 1.0  # seconds from connection to connection, and from row to row


class Row:
    """One line: scheduler and options | weights and thresholds | traffic and edits | picks."""

    def __init__(self, line, number):
        service, servers, traffic, picks = [part.strip() for part in line.split("|")]
        self.line, self.vip = line, f"198.51.{100 + number // 250}.{1 + number % 250}"
        # Rows share servers: with one client for all, two sessions' replies would look the same.
        self.client = f"203.0.{100 + number // 250}.{1 + number % 250}"
        self.service = f"-t {self.vip}:80"
        self.scheduler = service.split()[0]
        weights, _, extra = servers.partition("{")
        self.weights = weights.split()
        self.extra = ast.literal_eval("{" + extra) if extra else {}
        self.traffic, _, edits = traffic.partition(" ")
        self.edits = ast.literal_eval(edits) if edits else {}
        self.flags = service[len(self.scheduler):].strip()
        self.picks = [int(word) for word in picks.split() if word != "x"]

    def rules(self):
        yield f"-A {self.service} -s {self.scheduler} {self.flags}"
        for n, weight in enumerate(self.weights, 1):
            yield f"-a {self.service} -r 10.1.0.{n} -m -w {weight} {self.extra.get(n, '')}"

    def packets(self, start):
        """(seconds, frame, whether it begins connection number `second item`)."""
        live = []
        for i, server in enumerate(self.picks):
            at, port = start + i * STEP, FIRST_PORT + i
            def client(flags, seq, ack=0, port=port):
                return packet.ethernet(DIRECTOR, GATEWAY, packet.tcp(
                    self.client, port, self.vip, 80, flags, seq=seq, ack=ack))
            yield at, client("S", 1000), i
            if self.traffic == "syn" or not server:
                continue
            yield at + 0.01, packet.ethernet(DIRECTOR, f"02:00:00:00:01:{server:02x}", packet.tcp(
                f"10.1.0.{server}", 80, self.client, port, "SA", seq=1, ack=1001)), None
            yield at + 0.02, client("A", 1001, 2), None
            live.append(port)
            if self.traffic == "churn" and i % 3 == 2:
                yield at + 0.03, client("R", 1001, port=live.pop(0)), None

    def due(self, start):
        """(seconds, the commands of one edit)."""
        for i, commands in self.edits.items():
            yield start + i * STEP - 0.005, [c.replace("SVC", self.service)
                                             for c in commands.split("; ")]


def picked(said):
    """Server numbers by the packet's number; 0 where none was picked."""
    picks = {}
    for line in said.splitlines():
        found = re.match(r"#(\d+) \S+ TCP .*  (?:server (\S+)  scheduled|no usable server)", line)
        if found:
            picks[int(found[1])] = int(re.search(r"\.(\d+):", found[2])[1]) if found[2] else 0
    return picks


def compare(binary, path):
    """(rows, wrong rows, picks) of a file."""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    rows = [Row(line, number) for number, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as place:
        def write(name, words):
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write("\n".join(words) + "\n")
            return os.path.join(place, name)
        packets, edits, first, start = [], [], {}, 0.0
        for row in rows:
            for at, commands in row.due(start):
                edits += ["--at", f"{at:.6f}={write(f'edit{len(edits)}', commands)}"]
            for at, frame, begins in row.packets(start):
                packets.append(pcap.packet(1 + at, frame))
                if begins is not None:
                    first[id(row), begins] = len(packets)
            start += len(row.picks) * STEP + GAP
        capture = os.path.join(place, "in.pcap")
        pcap.write(capture, packets)
        rules = write("rules", [line for row in rows for line in row.rules()])
        done = subprocess.run([binary, "--rules", rules, "--read", capture, "--explain", *edits],
                              capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        print(done.stderr)
        return len(rows), len(rows), 0
    said, wrong = picked(done.stdout), 0
    for row in rows:
        ours = [said.get(first[id(row), i]) for i in range(len(row.picks))]
        if ours != row.picks:
            wrong += 1
            print(f"{path}: {row.line}\n  ours: {' '.join(map(str, ours))}")
    return len(rows), wrong, sum(len(row.picks) for row in rows)


def main():
    binary = os.path.join(sys.argv[1], "app", "shunt-replay", "shunt-replay")
    place = os.path.join(HERE, "sequences")
    files = sys.argv[2:] or sorted(os.path.join(place, n) for n in os.listdir(place) if n.endswith(".txt"))
    results = [compare(binary, path) for path in files]
    rows, wrong, picks = (sum(result[i] for result in results) for i in range(3))
    print(f"{picks} picks in {rows} sequences, {wrong} sequences wrong")
    return 1 if wrong or not picks else 0


if __name__ == "__main__":
    sys.exit(main())
