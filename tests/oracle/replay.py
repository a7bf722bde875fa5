"""The Shunt side: one shunt-replay over the frames that the real director was sent, at the times
when it was sent them.
"""

import json
import os
import subprocess
import tempfile

import pcap
import world

LISTINGS = {"list": "-L -n", "save": "-S -n", "connections": "-L -n -c", "timeouts": "-L --timeout", "stats": "-L -n --stats --exact"}
PATIENCE = 60  # seconds
APART = 10_000  # nanoseconds, what comes after something else


def run(binary, scenario, answer):
    """What Shunt makes of it: {"steps": one a step: None, {"listing"} or {"out": [hex], "kernel":
    [hex]}, list, save, connections, timeouts, stats}, or {"failed": what shunt-replay said}."""
    with tempfile.TemporaryDirectory() as folder:
        arguments, sent = _inputs(folder, scenario, answer)
        for words in LISTINGS.values():
            arguments += ["--list", words]
        done = subprocess.run([binary, "--", "--json", *arguments], capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            return {"failed": f"exit status {done.returncode}: {done.stderr.strip()}"}
        result = json.loads(done.stdout)
        out = {"steps": [None] * len(scenario["steps"]), "json": result}
        for index in sent.values():
            out["steps"][index] = {"out": [], "kernel": []}
        for name, lane in ("out.pcap", "out"), ("kernel.pcap", "kernel"):
            for packet in pcap.read(os.path.join(folder, name)).packets:
                if packet.time in sent:
                    out["steps"][sent[packet.time]][lane].append(packet.data.hex())
        listings = result["listings"]
        for index, step in enumerate(scenario["steps"]):
            if step["kind"] == "list":
                out["steps"][index] = {"listing": listings.pop(0)}
        return out | dict(zip(LISTINGS, listings))


class _Inputs:
    """Writes what shunt-replay reads."""

    def __init__(self, folder):
        self._folder = folder
        self._now = -APART  # nanoseconds
        self.options, self.packets = [], []

    def path(self, name):
        return os.path.join(self._folder, name)

    def write(self, name, lines):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
        return self.path(name)

    def _time(self, seconds):
        self._now = max(self._now + APART, int(seconds * 1e9) // APART * APART)
        return self._now

    def command(self, seconds, line):
        at = self._time(seconds)
        self.options += ["--at", f"{at / 1e9:.6f}=" + self.write(f"edit-{at}", [line])]

    def frame(self, seconds, frame):
        """Its time, by which it is known again."""
        time = self._time(seconds)
        self.packets.append(pcap.Packet(time, frame, len(frame)))
        return time


def _inputs(folder, scenario, answer):
    """(Options of shunt-replay, {time: step})."""
    inputs, sent = _Inputs(folder), {}
    # Nobody looks at the first and the last frame: times count from the first, and edits at the
    # end are carried out before the last.
    nothing = bytes.fromhex("01" * 12 + "88b5")
    inputs.frame(0, nothing)
    start = APART / 1e9
    for index, (step, did) in enumerate(zip(scenario["steps"], answer["steps"])):
        at = start + did["at"]
        if step["kind"] == "edit":
            inputs.command(at, step["command"])
        elif step["kind"] == "list":
            inputs.command(at, step["words"])
        elif "in" in did:
            sent[inputs.frame(at, bytes.fromhex(did["in"]))] = index
    inputs.frame(start + answer["end"], nothing)
    pcap.write(inputs.path("in.pcap"), inputs.packets)
    arguments = ["--rules", inputs.write("rules", scenario["rules"]), "--read", inputs.path("in.pcap")]
    arguments += ["--write", inputs.path("out.pcap"), "--write-kernel", inputs.path("kernel.pcap")]
    arguments += ["--mac", world.DIRECTOR_MAC, *inputs.options]
    for address in world.OWN.values():
        arguments += ["--local", address]
    for _, address, mark in world.virtual_addresses():
        for protocol in world.marked_protocols(mark) if mark else ():
            arguments += ["--mark", f"{mark} to {address}" + (f" proto {protocol}" if protocol else "")]
    return arguments, sent
