#!/usr/bin/env python3
"""What shunt-exec adds to a system call: the same program bare, behind the library, and behind the supervisor, in
turns, beside a shuntd of its own without traffic. Medians over the turns, and ratios to the bare program; "ask-ipvs"
is an error without shunt-exec, where the kernel has no IPVS.

    system_calls.py [TURNS]   5
"""

import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
# pylint: disable=wrong-import-position
from appliance import BUILD
from transcripts import Operator

PROGRAM = os.path.join(BUILD, "tests/bench/shunt-system-calls")
SHUNT_EXEC = os.path.join(BUILD, "app/shunt-exec/shunt-exec")


def measured(words):
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def main():
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="shunt-calls-") as folder:
        operator = Operator(folder)
        through = [SHUNT_EXEC, "--socket", operator.path("ipvs.sock"), "--method"]
        ways = {"bare": [PROGRAM], "preload": [*through, "preload", PROGRAM, "ipvs"], "seccomp": [*through, "seccomp", PROGRAM, "ipvs"]}
        try:
            runs = [{way: measured(words) for way, words in ways.items()} for _ in range(turns)]
        finally:
            operator.end()
    print(f"{'':22}{'bare':>10}{'preload':>18}{'seccomp':>18}   ns a call (ratio)")
    for name in runs[0]["seccomp"]:
        line = f"{name:22}"
        for way in ways:
            values = [run[way][name] for run in runs if name in run[way]]
            ratios = [run[way][name] / run["bare"][name] for run in runs if name in run["bare"]]
            line += f"{statistics.median(values):>10.0f}" if values else f"{'-':>10}"
            if way != "bare":
                line += f" ({statistics.median(ratios):5.2f})" if ratios else " " * 8
        print(line)


if __name__ == "__main__":
    main()
