#!/usr/bin/env python3
"""instructions.py SHUNT-BENCH [--write]: instructions a packet of every path, counted by callgrind,
against instructions.txt beside this file: no more than 3 % away. --write makes that file anew.

They are the same in every run of the same program, however busy the machine is. The port's and the
generator's are among them; `macswap` is what those are with the least of programs. Exit 0, 1 a count
is out of bounds, 77 skipped (one sentence says why).
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

import fragment_captures

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTS = os.path.join(HERE, "instructions.txt")
TOLERANCE = 0.03
SKIPPED = 77
HEADER = """\
# Instructions a packet, counted by callgrind; `scripts/bench --instructions --write` makes this file.
"""
SESSIONS = ["--sessions", "4096"]
CASES = {
    "macswap": ["--path", "dr", "--yardstick", *SESSIONS],
    "dr": ["--path", "dr", *SESSIONS],
    "nat": ["--path", "nat", *SESSIONS],
    "dr6": ["--path", "dr6", *SESSIONS],
    "ipip": ["--path", "ipip", *SESSIONS],
    "udp-o-maglev": ["--path", "udp-o-maglev", *SESSIONS],
    "udp-o-mh": ["--path", "udp-o-mh", *SESSIONS],
    "new-dr": ["--path", "dr", "--new", "--sessions", "65536"],
    "new-nat": ["--path", "nat", "--new", "--sessions", "65536"],
}
RULES = ["--rules", os.path.join(HERE, "replay.rules")]


def count_capture(program, frames):
    with tempfile.NamedTemporaryFile(prefix="shunt-", suffix=".pcap") as capture:
        fragment_captures.write(capture, frames())
        return count(program, [*RULES, "--captures", capture.name])


def count(program, options):
    """Instructions a packet, or why there are none."""
    with tempfile.NamedTemporaryFile(prefix="shunt-callgrind-") as out:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}",
             "--toggle-collect=shunt::bench::counted_*", program, "count", *options],
            capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("==")]
        return None, lines[-1] if lines else f"exit status {done.returncode}"
    collected = int(re.search(r"Collected : (\d+)", done.stderr)[1])
    return collected / int(re.search(r'"packets": (\d+)', done.stdout)[1]), None


def read_counts():
    with open(COUNTS) as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: float(instructions) for name, instructions in rows}


def main():
    program, write = sys.argv[1], sys.argv[2:] == ["--write"]
    try:
        subprocess.run(["valgrind", "--version"], capture_output=True)
    except OSError:
        print("valgrind is not installed (scripts/setup does it)")
        return SKIPPED
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = dict(zip(CASES, pool.map(lambda options: count(program, options),
                                           CASES.values())))
        patterns = fragment_captures.PATTERNS
        counted |= zip(patterns, pool.map(lambda frames: count_capture(program, frames),
                                          patterns.values()))
    wanted = {} if write else read_counts()
    bad = False
    for name, (instructions, reason) in counted.items():
        if reason:
            print(f"{name:14} not counted: {reason}")
            bad |= name in wanted
            continue
        line = f"{name:14} {instructions:8.1f}"
        if name in wanted:
            change = instructions / wanted[name] - 1
            line += f"   {change * 100:+.1f} % of {wanted[name]:.1f}"
            if abs(change) > TOLERANCE:
                line += "   OUT OF BOUNDS"
                bad = True
        elif not write:
            line += "   not in instructions.txt"
            bad = True
        print(line)
    if write:
        with open(COUNTS, "w") as file:
            file.write(HEADER + "".join(f"{name:14} {instructions:8.1f}\n" for name, (instructions, reason)
                                        in counted.items() if not reason))
    elif bad:
        print("if that is as it should be: scripts/bench --instructions --write")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
