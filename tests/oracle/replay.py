"""The Shunt side: one shunt-replay over the frames that the real director was sent.

Frames are a millisecond apart; an edit comes half a millisecond before the next frame.
"""

import json
import os
import subprocess
import tempfile

import pcap
import world

LISTINGS = {"list": "-L -n", "save": "-S -n", "connections": "-L -n -c", "stats": "-L -n --stats --exact"}
PATIENCE = 60  # seconds
MILLISECOND = 1_000_000


def run(binary, scenario, answer):
    """What Shunt makes of it: {"steps": one a step: None or {"out": [hex], "kernel": [hex]}, list,
    save, connections, stats}, or {"failed": what shunt-replay said}."""
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
        return out | dict(zip(LISTINGS, result["listings"]))


def _inputs(folder, scenario, answer):
    """Writes what shunt-replay reads; (its options, {time: step})."""

    def path(name):
        return os.path.join(folder, name)

    def write(name, lines):
        with open(path(name), "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")

    write("rules", scenario["rules"])
    arguments = ["--rules", path("rules"), "--read", path("in.pcap")]
    arguments += ["--write", path("out.pcap"), "--write-kernel", path("kernel.pcap")]
    arguments += ["--mac", world.DIRECTOR_MAC]
    packets, sent, due = [], {}, []

    def add(frame):
        time = (len(packets) + 1) * MILLISECOND
        for number, command in enumerate(due):
            name = f"edit-{len(packets)}-{number}"
            write(name, [command])
            at = (time - MILLISECOND - MILLISECOND // 2) / 1e9
            arguments.extend(["--at", f"{at:.6f}={path(name)}"])
        due.clear()
        packets.append(pcap.Packet(time, frame, len(frame)))
        return time

    # Nobody looks at the first and the last frame: times count from the first, and edits at the
    # end are carried out before the last.
    nothing = bytes.fromhex("01" * 12 + "88b5")
    add(nothing)
    for index, (step, did) in enumerate(zip(scenario["steps"], answer["steps"])):
        if step["kind"] == "edit":
            due.append(step["command"])
        elif did is not None:
            sent[add(bytes.fromhex(did["in"]))] = index
    add(nothing)
    pcap.write(path("in.pcap"), packets)
    return arguments, sent
