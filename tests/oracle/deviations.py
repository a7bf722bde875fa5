"""The differences that are wanted, each with its reason: the table of docs/differences.md.

A row there begins with a name; here is, for each name, the test that knows such a difference. A
name in one place only is an error, so that the list stays the one list.
"""

import os
import re

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "differences.md")
HEAD = "## Deviations from IPVS"


def documented():
    """{name: reason} of the document's table."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    table = text.partition(HEAD)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|$", table, re.M)
    return {name: cells.split("|")[-1].strip() for name, cells in rows}


def _server_icmp6(scenario, difference):
    if difference.kind != "lane" or difference.facts["side"] != "s" or difference.facts["wanted"]:
        return False
    return difference.facts["in"].get("icmp.type", 128) < 128 and "ip6.source" in difference.facts["in"]


def _own_answers(scenario, difference):
    if difference.kind != "counter" or not difference.facts:
        return False
    facts = difference.facts
    if not set(facts["columns"]) <= {"out_packets", "out_bytes"}:
        return False
    return 0 < facts["wanted"]["out_packets"] - facts["got"]["out_packets"] <= facts["hop_limits"]


def _comes_back(scenario, difference):
    """Is it about a server that was in its service before that was deleted and made anew?"""
    if difference.kind != "counter" or not difference.facts or not difference.facts["row"][1]:
        return False
    row, server = difference.facts["row"]
    letter = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}.get(row.split()[0])
    service = f"{letter} {row.split()[1]}"
    edits = [s["command"] for s in scenario["steps"] if s["kind"] == "edit"]
    deleted = False
    for command in edits:
        if command == f"-D {service}":
            deleted = True
        elif deleted and command.startswith(f"-a {service} -r {server} "):
            return True
    return False


TESTS = {
    "own-time-exceeded": _own_answers,
    "zero-since-last-copy": _comes_back,
    "server-icmpv6-error": _server_icmp6,
}


def check():
    """Sentences about names that are in one place only."""
    names = documented()
    out = [f"docs/differences.md does not tell about {n}" for n in TESTS if n not in names]
    return out + [f"nothing tests for {n} of docs/differences.md" for n in names if n not in TESTS]


def explain(scenario, difference):
    """The name of the deviation that this is, or None."""
    return next((name for name, test in TESTS.items() if test(scenario, difference)), None)
