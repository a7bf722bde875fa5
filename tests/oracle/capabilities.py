"""What shunt-replay can do, asked once: scenarios use that and nothing else.

An option that answers "not built yet" is left out and named; any other refusal is an error, so
that a broken option cannot hide as an unbuilt one.
"""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field

import edits
import packet
import pcap

# twos draws random numbers, and Debian's kernel has it not: it cannot be compared.
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh")

TCP, SERVER = "-t 198.51.100.1:80", "-r 10.1.0.1:80"
OPTIONS = {
    "persistence": [f"-A {TCP} -s rr -p 60"],
    "one-packet": ["-A -u 198.51.100.1:80 -s rr -o"],
    "thresholds": [f"-A {TCP} -s rr", f"-a {TCP} {SERVER} -m -x 5 -y 3"],
    "sctp": ["-A --sctp-service 198.51.100.1:80 -s rr"],
    "any": ["-A -t 198.51.100.1:0 -s rr -p 60"],
    "fwm": ["-A -f 5 -s rr", "-A -f 5 -6 -s rr"],
}


class Broken(Exception):
    """shunt-replay refuses what it should know."""


@dataclass
class Capabilities:
    schedulers: list = field(default_factory=list)
    options: set = field(default_factory=set)
    lacking: list = field(default_factory=list)

    @property
    def protocols(self):
        return ["tcp", "udp"] + (["sctp"] if "sctp" in self.options else [])

    @property
    def forms(self):
        """What services are known by: a protocol, its every port, or a mark."""
        return self.protocols + [f for f in ("any", "fwm") if f in self.options]

    @property
    def methods(self):
        return ["masq", "route"]


def _built(binary, folder, lines):
    rules = os.path.join(folder, "rules")
    with open(rules, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    # Rules are read first, so a capture that is not there ends it before anything is started.
    command = [binary, "--", "--rules", rules, "--read", os.path.join(folder, "no capture")]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    if "cannot read the capture" in said:
        return True
    if re.search(r"not built yet: ", said):
        return False
    raise Broken(f"{lines[-1]}: {said.strip()}")


def _heeds_knobs(binary, folder):
    """Does a knob change what happens? sloppy_tcp=1 lets an ACK begin a session."""
    rules = os.path.join(folder, "knob rules")
    with open(rules, "w", encoding="ascii") as file:
        file.write(f"-A {TCP} -s rr\n-a {TCP} {SERVER} -m\n--sysctl sloppy_tcp=1\n")
    ack = packet.ethernet("02:5b:00:00:00:01", "02:00:00:00:00:02", packet.tcp("203.0.113.1", 2000, "198.51.100.1", 80, "A"))
    capture = os.path.join(folder, "ack.pcap")
    pcap.write(capture, [pcap.packet(0, ack)])
    command = [binary, "--", "--rules", rules, "--read", capture, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and json.loads(done.stdout)["packets_out"] == 1


def probe(binary):
    found = Capabilities()
    with tempfile.TemporaryDirectory() as folder:
        for name in SCHEDULERS:
            if _built(binary, folder, [f"-A {TCP} -s {name}"]):
                found.schedulers.append(name)
            else:
                found.lacking.append(f"-s {name}")
        for name, lines in OPTIONS.items():
            if _built(binary, folder, lines):
                found.options.add(name)
            else:
                found.lacking.append(name)
        if _heeds_knobs(binary, folder):
            found.options |= set(edits.KNOBS) - (set() if "sctp" in found.options else {"sloppy_sctp"})
        else:
            found.lacking.append("sysctl knobs")
    return found
