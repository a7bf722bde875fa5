#!/usr/bin/env python3
"""Golden packets: run_packets.py BUILD_DIR [--regenerate] [CASE...]

Runs shunt-replay over every directory of packets/ and compares all that leaves it with what left
a real IPVS. A case is a directory with

    rules          commands in ipvsadm-save format, applied before the first packet
    at-S.rules     commands applied S seconds after the first packet
    args           more options, one a line
    in.pcap        frames sent to the director, in order
    expected.pcap  frames it must send, in order, with the input frames' times
    expected.json  counts, sessions left at the end, counters of services and servers; where there
                   are listings, what ipvsadm printed at the end
    ignore         optional: lines "FIELD reason", fields that are not compared
    needs          optional: what shunt-replay cannot do yet, in a line; the case is skipped
    README         what it is and where it comes from

Every bit of every frame is compared, except the IP id (with the header checksum, which must be
valid) and the flow label of the ICMP errors that the director made itself, and the id of IPv6
fragments: Linux picks these at random. Exit status 1 if anything differs. --regenerate rewrites the expectations of those cases
whose README has a line that begins with "Ours"; recorded cases are never rewritten.
"""

import argparse
import difflib
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile

import packet
import pcap

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTS = ("packets_in", "packets_out", "packets_kernel", "generated", "absorbed", "held_at_end")
OF_ALL = {"ip6.fragment_id"}
OF_GENERATED = {"ip.id", "ip.checksum", "ip6.flow_label"}
PATIENCE = 60  # seconds for one replay
COUNTERS = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")


def replay(binary, options):
    """Runs shunt-replay; (its JSON object or None, everything it said)."""
    try:
        done = subprocess.run(
            [binary, "--", "--json", *options], capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return None, f"did not end within {PATIENCE} s"
    said = f"exit status {done.returncode}\n{done.stderr}"
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None, said
    except ValueError as error:
        return None, f"{said}not JSON ({error}): {done.stdout[:400]}"


def accounting(result):
    """The identity that always holds: a list with one sentence if it does not."""
    came = result["packets_in"] + result["generated"]
    parts = [result[k] for k in ("packets_out", "packets_kernel", "absorbed", "held_at_end")]
    went = sum(parts) + sum(result["dropped"].values())
    if came == went:
        return []
    return [f"the counts do not add up: {came} packets came or were made, {went} are accounted for"]


def compare_frames(wanted, got, ignored=frozenset()):
    """Sentences about the fields in which two frames differ."""
    if wanted == got:
        return []
    a, b = packet.dissect(wanted), packet.dissect(got)
    out = []
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name) and name not in ignored:
            values = [str(x.get(name, "absent")) for x in (a, b)]
            values = [v if len(v) <= 80 else f"{v[:76]}... ({len(v)} digits)" for v in values]
            out.append(f"{name}: expected {values[0]}, got {values[1]}")
    return out


def of_tunnel(frame, ignored):
    """"tunnel.id" stands for the id of IPv4 packets that may be fragmented; others have 0."""
    if "tunnel.id" not in ignored or packet.dissect(frame).get("ip.flags") == "010":
        return set()
    return {"ip.id", "ip.checksum"}


def compare_captures(wanted, got, generated=(), ignored=frozenset()):
    """Sentences about how two lists of pcap.Packet differ, frame by frame."""
    out = []
    if len(wanted) != len(got):
        out.append(f"frames out: expected {len(wanted)}, got {len(got)}")
        lines = [[packet.summary(p.data) for p in side] for side in (wanted, got)]
        out += [x for x in difflib.ndiff(*lines) if x[0] in "+-"]
        return out
    for number, (a, b) in enumerate(zip(wanted, got)):
        skip = OF_ALL | ignored | of_tunnel(b.data, ignored)
        skip |= OF_GENERATED if number in generated else set()
        wrong = compare_frames(a.data, b.data, skip)
        if a.time != b.time:
            wrong.append(f"time: expected {a.time / 1e9} s, got {b.time / 1e9} s")
        if wrong:
            out.append(f"frame {number}: {packet.summary(a.data)}")
            out += ["  " + line for line in wrong]
    return out


def compare_counts(wanted, got):
    out = []
    for name in COUNTS:
        if wanted[name] != got.get(name):
            out.append(f"{name}: expected {wanted[name]}, got {got.get(name)}")
    dropped = {k: n for k, n in got["dropped"].items() if n}
    for reason in sorted({*wanted["dropped"], *dropped}):
        pair = wanted["dropped"].get(reason, 0), dropped.get(reason, 0)
        if pair[0] != pair[1]:
            out.append(f"dropped as {reason}: expected {pair[0]}, got {pair[1]}")
    return out


def compare_sessions(wanted, got, end):
    """wanted: rows with the seconds_left IPVS showed `at` seconds, rounded down. end: seconds from
    the first packet to the last, when the replay's listing was made."""

    def key(row):
        names = "protocol", "client", "virtual", "server", "persistence_engine", "persistence_data"
        return tuple(row[k] for k in names if k in row)

    out = []
    a, b = {key(r): r for r in wanted}, {key(r): r for r in got}
    if len(b) != len(got):
        out.append(f"sessions: {len(got)} rows, but only {len(b)} different ones")
    out += [f"session {' '.join(k)}: missing" for k in a if k not in b]
    out += [f"session {' '.join(k)} ({b[k]['state']}): not expected" for k in b if k not in a]
    for k in a.keys() & b.keys():
        if a[k]["state"] != b[k]["state"]:
            out.append(f"session {' '.join(k)}: expected {a[k]['state']}, got {b[k]['state']}")
        least = a[k]["seconds_left"] - (end - a[k]["at"])
        if not math.floor(least) <= b[k]["expires"] <= math.ceil(least + 1):
            out.append(
                f"session {' '.join(k)}: expected {least:.1f} to {least + 1:.1f} seconds left, "
                f"got {b[k]['expires']}"
            )
    return out


def server_rows(services):
    """{(service, server): row} from shunt-replay's services, named as ipvsadm does."""

    def text(row):
        address = f"[{row['address']}]" if ":" in row["address"] else row["address"]
        return f"{address}:{row['port']}"

    rows = {}
    for service in services:
        name = f"{service['protocol']} {text(service)}"
        if service["fwmark"]:
            name = f"FWM {service['fwmark']}" + (" IPv6" if service["family"] == 6 else "")
        rows |= {(name, text(server)): server for server in service["servers"]}
    return rows


def compare_counters(wanted, services, ignored=frozenset()):
    """wanted: rows of ipvsadm --stats (server None: the service's own, which are not compared)."""
    out = []
    rows = server_rows(services)
    for row in wanted:
        if row["server"] is None:
            continue
        name = f"{row['service']} -> {row['server']}"
        got = rows.pop((row["service"], row["server"]), None)
        if got is None:
            out.append(f"counters of {name}: missing")
            continue
        for field in COUNTERS:
            if row[field] != got[field] and "counters." + field not in ignored:
                out.append(f"{field} of {name}: expected {row[field]}, got {got[field]}")
    out += [f"counters of {' -> '.join(k)}: not expected" for k in rows]
    return out


def compare_listings(wanted, got):
    """wanted: {words: lines of ipvsadm}; got: as many texts."""
    out = []
    for (words, lines), text in zip(wanted.items(), got, strict=True):
        there = text.splitlines()
        out += [f"{words}: {x}" for x in difflib.ndiff(lines, there) if x[0] in "+-"]
    return out


def options_of(case):
    out = ["--rules", f"{case}/rules", "--read", f"{case}/in.pcap"]
    for name in sorted(os.listdir(case)):
        if name.startswith("at-"):
            out += ["--at", f"{name[3:-6]}={case}/{name}"]
    for line in text_of(case, "args").splitlines():
        out += shlex.split(line)
    return out


def text_of(case, name):
    path = os.path.join(case, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(binary, case, regenerate=False):
    """Sentences about what differs in one case."""
    listings = json.loads(text_of(case, "expected.json") or "{}").get("listings", {})
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, "out.pcap")
        lists = [x for words in listings for x in ("--list", words)]
        result, said = replay(binary, [*options_of(case), *lists, "--write", written])
        if result is None:
            return [f"shunt-replay failed: {said}"]
        got = pcap.read(written).packets
    sent = pcap.read(f"{case}/in.pcap").packets
    end = (sent[-1].time - sent[0].time) / 1e9
    if regenerate:
        rewrite(case, result, got, end)
    wanted = json.loads(text_of(case, "expected.json"))
    frames = pcap.read(f"{case}/expected.pcap").packets
    ignored = {line.split()[0] for line in text_of(case, "ignore").splitlines() if line.strip()}
    out = accounting(result) + compare_counts(wanted, result)
    out += compare_captures(frames, got, wanted["generated_frames"], ignored)
    out += compare_sessions(wanted["sessions"], result["connections"], end)
    out += compare_listings(listings, result.get("listings", []))
    return out + compare_counters(wanted["counters"], result["services"], ignored)


def rewrite(case, result, got, end):
    pcap.write(f"{case}/expected.pcap", got)
    wanted = {name: result[name] for name in COUNTS}
    wanted["dropped"] = {k: n for k, n in result["dropped"].items() if n}
    wanted["generated_frames"] = []  # our own ids are not random
    wanted["sessions"] = []
    for row in result["connections"]:
        row = dict(row)
        left = row.pop("expires")
        wanted["sessions"].append({**row, "seconds_left": left, "at": end})
    wanted["counters"] = []
    for (service, server), row in server_rows(result["services"]).items():
        fields = {k: row[k] for k in COUNTERS}
        wanted["counters"].append({"service": service, "server": server, **fields})
    with open(f"{case}/expected.json", "w", encoding="ascii") as file:
        json.dump(wanted, file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="build directory")
    parser.add_argument("cases", nargs="*", help="names in packets/, run even if skipped")
    parser.add_argument("--regenerate", action="store_true")
    args = parser.parse_args()
    binary = os.path.join(args.build, "app", "shunt-replay", "shunt-replay")
    root = os.path.join(HERE, "packets")
    failed = 0
    for name in args.cases or sorted(os.listdir(root)):
        case = os.path.join(root, name)
        lacking = text_of(case, "needs").strip()
        if lacking and not args.cases:
            print(f"skipped  {name}: {lacking}")
            continue
        ours = any(line.startswith("Ours") for line in text_of(case, "README").splitlines())
        wrong = run(binary, case, args.regenerate and ours)
        print(f"{'differs' if wrong else 'equal':8} {name}")
        for line in wrong:
            print("    " + line)
        failed += bool(wrong)
    print(f"{failed} cases differ" if failed else "all cases are equal")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
