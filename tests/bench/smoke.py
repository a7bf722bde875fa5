#!/usr/bin/env python3
"""smoke.py SHUNT-BENCH: does the benchmark run, and is there a sane figure of every path? How fast
anything is, is no matter for a test."""

import json
import subprocess
import sys

SESSIONS = [1, 64]


def main():
    done = subprocess.run(
        [sys.argv[1], "--rounds", "2", "--milliseconds", "2", "--sessions", *map(str, SESSIONS)],
        capture_output=True, text=True)
    if done.returncode != 0:
        return f"exit {done.returncode}: {done.stderr}"
    lines = done.stdout.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if line.startswith("{")), len(lines))
    paths = json.loads("".join(lines[start:]))["paths"]
    seen = {(path["path"], path.get("sessions")) for path in paths}
    wanted = {("macswap", None)} | {(p, n) for p in ("dr", "nat") for n in SESSIONS}
    if seen != wanted:
        return f"measured {seen}, not {wanted}"
    for path in paths:
        if len(path["rounds"]) != 2:
            return f"{path['path']}: {len(path['rounds'])} rounds, not 2"
        for row in path["rounds"]:
            if not all(figure > 0 for figure in row.values()):
                return f"{path['path']}: a figure that is not above zero in {row}"
    return None


if __name__ == "__main__":
    sys.exit(main())
