#!/usr/bin/env python3
"""smoke.py SHUNT-BENCH: does every measurement work, and is every figure sane? How fast anything is,
is no matter for a test."""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RATES = [("forwarding", "--path", path, "--sessions", "1", "64") for path in ("dr", "nat", "dr6")]
RATES += [("forwarding", "--path", f"udp-o-{name}", "--sessions", "64") for name in ("mh", "maglev")]
RATES += [("forwarding", "--path", "nat", "--size", "imix", "--sessions", "64"),
          ("connections", "--sessions", "4096"),
          ("strays", "--sessions", "256"),
          ("replay", "--rules", f"{HERE}/replay.rules", "--captures",
           f"{HERE}/../../pcap/handshakes.pcap")]


def results(program, *words):
    done = subprocess.run([program, *words, "--rounds", "2", "--milliseconds", "2"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr}")
    # DPDK says things on standard output, too.
    return json.loads(done.stdout[done.stdout.index("\n{") + 1 if "\n{" in done.stdout else 0:])[
        "results"]


def check(program):
    for words in RATES:
        for row in results(program, *words):
            assert len(row["rounds"]) == 2, f"{words}: {len(row['rounds'])} rounds, not 2"
            for figures in row["rounds"]:
                for name, figure in figures.items():
                    # A difference may be below zero where nothing was measured for long.
                    assert figure > 0 or name == "hop_nanoseconds", f"{words}: {figures}"
    (row,) = results(program, "flood", "--sessions", "1024")
    assert row["lost"] == 0 and row["refused"] > 0, row
    floods = results(program, "floods", "--sessions", "1024")
    assert len(floods) > 30, floods
    for row in floods:
        assert row.get("lost") == 0, row
        for figures in row["rounds"]:
            assert len(figures) == 6 and all(figure > 0 for figure in figures.values()), row
    (row,) = results(program, "capacity", "--sessions", "1024")
    assert row["held"] == row["capacity"] == 1024, row
    (row,) = results(program, "loop", "--sessions", "64")
    assert row["idle"]["loop"]["count"] > 0 and row["build_and_publish"]["count"] > 0, row
    (row,) = results(program, "latency", "--sessions", "64")
    assert row["shunt"]["half_load"]["count"] > 0, row
    for row in results(program, "memory", "--sessions", "65536"):
        assert 64 < row["bytes_a_session"] < 512, row


if __name__ == "__main__":
    try:
        check(sys.argv[1])
    except AssertionError as failure:
        sys.exit(str(failure))
