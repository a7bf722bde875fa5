#!/usr/bin/env python3
"""Every pick of mh, sh and dh that a real IPVS made (picks/*.csv), asked of shunt-replay: the same rules, a
packet from each client, and --explain's server is compared with the recorded one.

usage: run_picks.py BUILD_DIR [CSV...]
"""

import csv
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


class Table:
    """One CSV: services are described in its first line, as picks/README.md says."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            head = file.readline().lstrip("# ").rstrip("\n")
            self.rows = list(csv.reader(file))
        titles = self.rows.pop(0)
        self.columns, self.by_vip = titles[2:], titles[0] == "vip"
        service, servers, *changes = [part.strip() for part in head.split(";")]
        kind, family, options = service.split(" ", 2)
        self.udp, self.v6, self.options = kind == "-u", family == "v6", options
        self.service = f"{kind} " + ("[2001:db8:f::1]:80" if self.v6 else "198.51.100.1:80")
        self.servers = [tuple(text.split()) for text in servers.split(": ", 1)[1].split(", ")]
        self.changes = {"before": []}
        label = None
        for change in changes:
            if change.startswith("column "):
                label, change = change[len("column "):].split(": ", 1)
                self.changes[label] = []
            self.changes[label].append(change)

    def rules(self, column):
        """One service; where rows are virtual addresses, the same at each."""
        services = [self.service]
        if self.by_vip:
            services = [f"{self.service[:2]} {vip}:80" for vip, *_ in self.rows]
        return "".join(line + "\n" for service in services for line in self.service_rules(service, column))

    def service_rules(self, service, column):
        yield f"-A {service} {self.options}"
        for number, weight, port in self.servers:
            host = f"[2001:db8:1::{int(number):x}]" if self.v6 else f"10.1.0.{number}"
            yield f"-a {service} -r {host}:{port} -m -w {weight}"
        for change in self.changes[column]:
            yield change.replace("ipvsadm ", "").replace("SVC", service)

    def frames(self):
        build = packet.udp if self.udp else packet.tcp
        vip = "2001:db8:f::1" if self.v6 else "198.51.100.1"
        for number, (client, port, *_) in enumerate(self.rows):
            if self.by_vip:
                client, port, vip = f"203.0.{100 + number // 250}.{1 + number % 250}", 2000, client
            yield pcap.packet(1 + number, packet.ethernet(
                DIRECTOR, GATEWAY, build(client, int(port), vip, 80)))

    def recorded(self, column):
        at = 2 + self.columns.index(column)
        return [int(row[at]) for row in self.rows]


def picked(said):
    """Server numbers in the order of the packets; 0 where none was picked."""
    picks = {}
    for line in said.splitlines():
        found = re.match(r"#(\d+) \S+ (?:TCP|UDP) .*  (?:server (\S+)  scheduled|no usable server)", line)
        if not found:
            continue
        server = found[2]
        last = re.search(r"[:.]([0-9a-f]+)\]?:\d+$", server)[1] if server else "0"
        picks[int(found[1])] = int(last, 16 if server and server.startswith("[") else 10)
    return [picks[number] for number in sorted(picks)]


def compare(binary, path):
    table, wrong, count = Table(path), 0, 0
    with tempfile.TemporaryDirectory() as place:
        capture, rules = os.path.join(place, "in.pcap"), os.path.join(place, "rules")
        pcap.write(capture, list(table.frames()))
        for column in table.columns:
            with open(rules, "w", encoding="utf-8") as file:
                file.write(table.rules(column))
            done = subprocess.run([binary, "--rules", rules, "--read", capture, "--explain"],
                                  capture_output=True, text=True, timeout=60, check=False)
            if done.returncode != 0:
                print(done.stderr)
                return 1, 0
            ours, theirs = picked(done.stdout), table.recorded(column)
            count += len(theirs)
            if len(ours) != len(theirs):
                print(f"{path} {column}: {len(theirs)} packets, {len(ours)} picks")
                wrong += 1
            for row, mine, recorded in zip(table.rows, ours, theirs):
                if mine != recorded:
                    wrong += 1
                    print(f"{path} {column}: {row[0]} port {row[1]}: recorded {recorded}, ours {mine}")
    return wrong, count


def main():
    binary = os.path.join(sys.argv[1], "app", "shunt-replay", "shunt-replay")
    picks = os.path.join(HERE, "picks")
    files = sys.argv[2:] or sorted(os.path.join(picks, n) for n in os.listdir(picks) if n.endswith(".csv"))
    results = [compare(binary, path) for path in files]
    wrong, count = sum(r[0] for r in results), sum(r[1] for r in results)
    print(f"{count} picks in {len(files)} tables, {wrong} wrong")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
