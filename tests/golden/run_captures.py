#!/usr/bin/env python3
"""Whole captures: run_captures.py BUILD_DIR CAPTURE_OR_DIRECTORY...

For every capture: finds the two busiest TCP, UDP or SCTP endpoints, makes a masquerading service of the
first and a directly routed one of the second, runs shunt-replay twice, once more with one-packet
scheduling if one is UDP; then makes services of the twelve busiest, each with another kind of tunnel to
its server, of either family, and runs it twice. Each time it checks that

  - the counts add up and the exit status is 0 (1 with a sentence if the last record is cut short);
  - both runs are equal: JSON (timing apart) and every byte written;
  - each packet had the fate that fates.py foretells: packets out, to the kernel and dropped by each
    reason, and the sessions left are equal. Fragments, and packets of flows that have fragments,
    widen these to intervals, by exactly their number;
  - every frame written is its input as forwarding must have changed it, in order, with its time
    (not in captures where fragments widened the check).

A capture that cannot be replayed (no classic pcap, no Ethernet) must be refused with a sentence
and status 1. Exit status 1 if anything is wrong; -v says what each capture came to.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile

import fates
import packet as p
import pcap
import tunnels

ICMP_BURST = 50  # ICMP errors that the rate limit always lets through
PATIENCE = 60  # seconds for one replay
EITHER = (
    *("fragment_incomplete", "fragments_full", "fragment_overlap", "fragment_bad"),
    *("fragment_source_full", "fragment_too_many"),
    *("short_transport", "extensions", "icmp_checksum", "hop_limit", "too_big", "no_buffer"),
)


def busiest(looks, most=2):
    """The endpoints most packets go to: up to so many of (protocol, address, port). Packets of flows whose
    SYN or INIT is not in the capture count last, they cannot be balanced."""
    begun, count, late = set(), collections.Counter(), collections.Counter()
    for found in looks:
        if found.kind != "flow":
            continue
        protocol, _, _, address, port = found.flow
        multicast = address[0] >= 224 if len(address) == 4 else address[0] == 0xFF
        if not port or multicast or not address.strip(b"\0"):
            continue
        begins = found.flags & (p.SYN | p.RST) == p.SYN or found.chunk == fates.INIT
        if protocol == p.UDP or begins:
            begun.add(found.flow)
        (count if found.flow in begun else late)[(protocol, address, port)] += 1
    keys = sorted({*count, *late}, key=lambda k: (-count[k], -late[k], k))
    return keys[:most]


def make_services(looks, one_packet=False):
    """Services on the busiest endpoints, with servers that do not occur in the capture."""
    used = {a for found in looks for a in (found.source, found.destination)}
    used |= {a for found in looks if found.flow for a in (found.flow[1], found.flow[3])}
    out = []
    for (protocol, address, port), method in zip(busiest(looks), ("-m", "-g")):
        last = 1
        while (server := server_address(len(address), last)) in used:
            last += 1
        used.add(server)
        server_port = 8080 if method == "-m" else port
        alone = one_packet and protocol == p.UDP
        out.append(fates.Service(protocol, address, port, method, server, server_port, alone))
    return out


def make_tunnels(looks):
    """Services on the busiest endpoints, behind tunnels of each kind; which is whose depends on the
    capture's length alone."""
    kinds, out = [(t, other) for other in (False, True) for t in tunnels.ALL], []
    for number, (protocol, address, port) in enumerate(busiest(looks, len(kinds)), 1):
        tunnel, other = kinds[(number + len(looks)) % len(kinds)]
        size = 20 - len(address) if other else len(address)
        server = server_address(size, 100 + number)
        out.append(fates.Service(protocol, address, port, "-i", server, port, False, tunnel))
    return out


def server_address(size, number):
    text = f"198.18.255.{number}" if size == 4 else f"2001:db8:ffff::{number:x}"
    return p.pack_address(text)


def rules_of(services):
    """Lines of ipvsadm-save. Without any endpoint, a service that nothing is sent to."""
    lines = []
    for s in services:
        brackets = "[{}]:{}" if len(s.address) == 16 else "{}:{}"
        kind = {p.TCP: "-t", p.UDP: "-u", p.SCTP: "--sctp-service"}[s.protocol]
        where = f"{kind} {brackets.format(p.address_text(s.address), s.port)}"
        brackets = "[{}]:{}" if len(s.server) == 16 else "{}:{}"
        server = brackets.format(p.address_text(s.server), s.server_port)
        way = f" {s.tunnel.options}" if s.tunnel else ""
        lines += [f"-A {where} -s rr{' -o' if s.one_packet else ''}", f"-a {where} -r {server} {s.method} -w 1{way}"]
    if not lines:
        lines = ["-A -t 198.18.255.254:1 -s rr"]
    return "\n".join(lines) + "\n"


def run(binary, path, folder, services):
    """(exit status, JSON without timing or None, what was written or None, standard error)."""
    rules, written = os.path.join(folder, "rules"), os.path.join(folder, "out.pcap")
    with open(rules, "w", encoding="ascii") as file:
        file.write(rules_of(services))
    if os.path.exists(written):
        os.remove(written)
    options = ["--rules", rules, "--read", path, "--write", written, "--json"]
    try:
        done = subprocess.run(
            [binary, "--", *options], capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return None, None, None, f"did not end within {PATIENCE} s"
    result = raw = None
    try:
        result = json.loads(done.stdout)
        result.pop("timing", None)
        with open(written, "rb") as file:
            raw = file.read()
    except (ValueError, OSError):
        pass
    return done.returncode, result, raw, done.stderr


def foretell(capture, services):
    looks = [fates.look(x) for x in capture.packets]
    model = fates.Model(services, looks)
    return [model.fate(x.time, found) for x, found in zip(capture.packets, looks)], model


def check_counts(result, foretold):
    """Sentences where the counts are not what was foretold."""
    came = result["packets_in"] + result["generated"]
    went = sum(result[k] for k in ("packets_out", "packets_kernel", "absorbed", "held_at_end"))
    went += sum(result["dropped"].values())
    out = [] if came == went else [f"{came} packets came or were made, {went} are accounted for"]
    lanes = collections.Counter(f.lane for f in foretold)
    reasons = collections.Counter(f.reason for f in foretold if f.lane == "drop")
    margin = lanes["uncertain"]
    answers = sum(f.answered for f in foretold)

    def within(name, got, least, most):
        if not least <= got <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            out.append(f"{name}: expected {expected}, got {got}")

    within("packets_in", result["packets_in"], len(foretold), len(foretold))
    cuts = sum(f.fragments - 1 for f in foretold if f.lane == "out")
    generated = result["generated"]
    within("generated", generated, min(answers, ICMP_BURST) + cuts, answers + cuts + margin)
    within(
        "packets out that came in",
        result["packets_out"] - result["generated"],
        lanes["out"] - margin,  # fragments made again may go to the kernel
        lanes["out"] + margin,
    )
    within("packets_kernel", result["packets_kernel"], lanes["kernel"], lanes["kernel"] + margin)
    within("absorbed and held_at_end", result["absorbed"] + result["held_at_end"], 0, margin)
    for reason in sorted({*reasons, *result["dropped"]}):
        least = reasons[reason]
        most = least + (margin if reason in EITHER else 0)
        within(f"dropped as {reason}", result["dropped"].get(reason, 0), least, most)
    return out


def check_sessions(result, model):
    names = {p.TCP: "TCP", p.UDP: "UDP", p.SCTP: "SCTP"}
    wanted = {}
    for flow, session in model.living().items():
        protocol, source, sport, address, port = flow
        s = session.service
        ends = endpoint(source, sport), endpoint(address, port), endpoint(s.server, s.server_port)
        left = (session.deadline - model.tick()) // 1_000_000_000
        wanted[(names[protocol], *ends)] = session.state, left
    got = {
        (r["protocol"], r["client"], r["virtual"], r["server"]): (r["state"], r["expires"])
        for r in result["connections"]
    }
    out = []
    for key in sorted({*wanted, *got}):
        if wanted.get(key) != got.get(key):
            out.append(f"session {key}: expected {wanted.get(key)}, got {got.get(key)}")
    if result["sessions"] != len(wanted):
        out.append(f"sessions: expected {len(wanted)}, got {result['sessions']}")
    return out[:10]


def endpoint(address, port):
    text = p.address_text(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def check_frames(capture, foretold, written):
    """Sentences where the frames written are not the inputs forwarded, in order."""
    out, at, missing = [], 0, 0
    for number, (packet, fate) in enumerate(zip(capture.packets, foretold)):
        if fate.lane != "out" and not fate.answered:
            continue
        if at == len(written):
            missing += fate.lane == "out"
            continue
        got = written[at]
        if fate.answered:
            if is_answer(packet.data, got.data, fate):
                at += 1
            continue
        parts = [x.data for x in written[at : at + fate.fragments]]
        at += fate.fragments
        data = fates.joined(parts) if fate.fragments > 1 else parts[0]
        wrong = fates.moved(packet.data, data, fate)
        if got.time // 1000 != packet.time // 1000:
            wrong.append(f"time {got.time}, not {packet.time}")
        out += [f"packet {number + 1} ({p.summary(packet.data)}): {line}" for line in wrong]
        if len(out) > 10:
            return out
    if missing:
        out.append(f"{missing} frames are not in the written capture")
    if at != len(written):
        out.append(f"{len(written) - at} frames written that nothing explains")
    return out


def quotable(frame, fate, six):
    """The packet that an error about it quotes: IPVS has taken the hop of one that is too big."""
    packet = bytearray(frame[14 : fate.look.end])
    if fate.reason == "too_big":
        packet[7 if six else 8] -= 1
        if not six:
            size = (packet[0] & 15) * 4
            packet[10:12] = b"\0\0"
            packet[10:12] = p.checksum(bytes(packet[:size])).to_bytes(2, "big")
    return bytes(packet)


def is_answer(frame, got, fate):
    """Is `got` the ICMP error that the director makes about `frame`?"""
    f = p.dissect(got)
    kind = (f.get("icmp.type"), f.get("icmp.code"))
    six = len(fate.look.source) == 16
    kinds = {"hop_limit": ((11, 0), (3, 0)), "too_big": ((3, 4), (2, 0))}
    if fate.look.options:
        kinds["bad_option"] = (12, 0), (4, fate.look.options.code)
    start = 14 + (40 if six else 20) + 8
    quoted = got[start:]
    most = 1280 - 48 if six else 576 - 28
    return (
        kind == kinds[fate.reason][six]
        and f["icmp.checksum_valid"]
        and f.get("ip.checksum_valid", True)
        and got[:6] == frame[6:12]
        and quoted == quotable(frame, fate, six)[:most]
        and f["ip6.source" if six else "ip.source"] == p.address_text(fate.service.address)
        and f["ip6.destination" if six else "ip.destination"] == p.address_text(fate.look.source)
    )


def check(binary, path):
    """(sentences about what is wrong, what the capture came to)."""
    out, about, has_datagrams = check_with(binary, path, make_services)
    if has_datagrams and not out:
        out = [f"-o: {line}" for line in check_with(binary, path, lambda x: make_services(x, True))[0]]
    if not out and about != "refused":
        wrong, more, _ = check_with(binary, path, make_tunnels)
        out, about = [f"-i: {line}" for line in wrong], f"{about}; in tunnels {more}"
    return out, about


def check_with(binary, path, make):
    """The same and whether a service is UDP; make(looks) makes the services."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            capture = pcap.read(path)
            refuse = capture.link_type != pcap.ETHERNET
        except pcap.CaptureError:
            capture, refuse = pcap.Capture(), True
        services = make([fates.look(x) for x in capture.packets])
        status, result, raw, said = run(binary, path, folder, services)
        if refuse:
            good = status == 1 and said.count("\n") == 1
            return [] if good else [f"not refused: {status} {said}"], "refused", False
        again = run(binary, path, folder, services)
    if status != (1 if capture.truncated else 0):
        return [f"exit status {status}: {said.strip()}"], "failed", False
    if result is None or raw is None:
        return ["no JSON or no capture written"], "failed", False
    out = []
    if bool(result["truncated"]) != capture.truncated or capture.truncated and not said.strip():
        out.append(f"truncated is {result['truncated']}, said: {said.strip()!r}")
    if (result, raw) != again[1:3]:
        out.append("two runs differ")
    foretold, model = foretell(capture, services)
    margin = sum(f.lane == "uncertain" for f in foretold)
    out += check_counts(result, foretold)
    if result["buffers_leaked"]:
        out.append(f"{result['buffers_leaked']} packet buffers did not come back")
    if not margin:
        out += check_sessions(result, model)
        out += check_frames(capture, foretold, pcap.parse(raw).packets)
    balanced = sum(f.lane == "out" for f in foretold)
    about = f"{len(foretold)} packets, {balanced} balanced, {result['sessions']} sessions"
    about += f", {margin} fragments or of their flows" if margin else ""
    return out, about, any(s.protocol == p.UDP for s in services)


def captures_in(places):
    for place in places:
        if not os.path.isdir(place):
            yield place
            continue
        for folder, folders, files in os.walk(place):
            folders.sort()
            for name in sorted(files):
                if name.endswith((".pcap", ".cap")):
                    yield os.path.join(folder, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="build directory")
    parser.add_argument("captures", nargs="+", help="capture files, or directories of them")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    binary = os.path.join(args.build, "app", "shunt-replay", "shunt-replay")
    total = failed = 0
    for path in captures_in(args.captures):
        wrong, about = check(binary, path)
        total, failed = total + 1, failed + bool(wrong)
        if wrong or args.verbose:
            print(f"{'wrong' if wrong else 'right':6} {path}: {about}")
        for line in wrong:
            print("    " + line)
    print(f"{total} captures, {failed} wrong")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
