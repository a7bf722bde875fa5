"""The differences that are wanted, each with its reason: the table of docs/differences.md.

A row there begins with a name; here is the test that knows such a difference, for each name of one
that scenarios come to. A test without a row is an error, so that the list stays the one list.
"""

import os
import re

import fates
import packet

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "differences.md")
HEAD = "## Deviations from IPVS"


LONGEST_ERROR = 1280  # bytes of an ICMPv6 error


def documented():
    """{name: reason} of the document's table."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    table = text.partition(HEAD)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", table, re.M)
    return {name: cells.split("|")[-1].strip() for name, cells in rows}


def _extra_answers(scenario, difference):
    """By how many packets IPVS counts more answers, if only answers differ, and by no more than the
    two deviations of this kind can make; else None."""
    if difference.kind != "counter" or not difference.facts:
        return None
    facts = difference.facts
    if not set(facts["columns"]) <= {"out_packets", "out_bytes"}:
        return None
    errors = sum(s["kind"] == "error" and s["side"] == "s" for s in scenario["steps"])
    errors = errors if "[" in facts["row"][0] or "IPv6" in facts["row"][0] else 0
    more, bytes_more = (facts["wanted"][c] - facts["got"][c] for c in ("out_packets", "out_bytes"))
    if abs(bytes_more) > LONGEST_ERROR * (errors + facts["own_errors"]):
        return None
    if more == 0 and not (errors and facts["own_errors"]):  # one of each made them even
        return None
    return more if -errors <= more <= facts["own_errors"] else None


def _server_icmp6(scenario, difference):
    if (_extra_answers(scenario, difference) or 0) < 0:
        return True
    if difference.kind != "lane" or difference.facts["side"] != "s" or difference.facts["wanted"]:
        return False
    return difference.facts["in"].get("icmp.type", 128) < 128 and "ip6.source" in difference.facts["in"]


def _own_answers(scenario, difference):
    more = _extra_answers(scenario, difference)
    return more is not None and more >= 0


def _stale_route(scenario, difference):
    """Is it a packet to a directly routed server, the way to which was found for a session that is not?"""
    facts = difference.facts
    if difference.kind != "lane" or facts["lane"] != "nothing" or not facts["got"]:
        return False
    frame = packet.dissect(facts["got"][0])
    ip = "ip6" if "ip6.destination" in frame else "ip"
    if facts["side"] != "c" or frame[f"{ip}.destination"] != facts["in"].get(f"{ip}.destination"):
        return False
    return facts["misled"]


def _cut_header(scenario, difference):
    """A TCP or UDP header that is not whole, of a session that is known."""
    if difference.kind != "lane" or difference.facts["got"] or difference.facts["kernel"]:
        return False
    sent = difference.facts["in"]
    protocol = sent.get("ip.protocol", sent.get("ip6.next_header"))
    return protocol in (packet.TCP, packet.UDP) and "ip.payload" in sent


def _saved_thresholds(scenario, difference):
    if difference.kind != "save" or "wanted" not in difference.facts:
        return False
    got = [re.sub(r" -[xy] \d+", "", line) for line in difference.facts["got"]]
    return got == difference.facts["wanted"]


def _fragment_lengths(scenario, difference):
    """Other fragments of what is the same packet, around one that came in fragments by IPv4."""
    facts = difference.facts
    if difference.kind not in ("lane", "frame") or facts["side"] != "c" or facts["lane"] != "out":
        return False
    flags, offset = facts["in"].get("ip.flags", "000"), facts["in"].get("ip.fragment_offset", 0)
    outer6 = all(f[12:14] == b"\x86\xdd" and f[20] == 44 for f in facts["wanted"] + facts["got"])
    if (flags[2] == "0" and offset == 0) or not outer6 or not facts["wanted"] or not facts["got"]:
        return False
    wanted, got = (_without_flow_hash(fates.joined(frames)) for frames in (facts["wanted"], facts["got"]))
    return wanted == got != b""


def _without_flow_hash(frame):
    """GUE's source port is random, and its checksum covers it."""
    if frame[20:21] != bytes([packet.UDP]):
        return frame
    return frame[:54] + b"\0\0" + frame[56:60] + b"\0\0" + frame[62:]


TESTS = {
    "fragment-lengths": _fragment_lengths,
    "saved-thresholds": _saved_thresholds,
    "cut-header": _cut_header,
    "stale-route": _stale_route,
    "own-errors-counted": _own_answers,
    "server-icmpv6-error": _server_icmp6,
}


def check():
    """Sentences about tests whose name the document does not have. It has rows without a test: what
    scenarios never come to."""
    names = documented()
    return [f"docs/differences.md does not tell about {n}" for n in TESTS if n not in names]


def explain(scenario, difference):
    """The name of the deviation that this is, or None."""
    return next((name for name, test in TESTS.items() if test(scenario, difference)), None)
