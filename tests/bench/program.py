"""shunt-bench: built, run, and its figures made readable."""

import json
import os
import re
import statistics
import subprocess

from machine import ROOT, Trouble


def build(directory, *programs):
    steps = [["scripts/setup"]]
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        steps.append(["meson", "setup", directory, "--buildtype=release"])
    steps.append(["ninja", "-C", directory, *programs])
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        if done.returncode != 0:
            raise Trouble(f"`{' '.join(step)}` failed:\n{done.stdout}")
    return [os.path.join(directory, program) for program in programs]


class Program:
    """shunt-bench on hugepages where `pages` has or gets them."""

    LEAST = 700  # MB: packet buffers, the board, a small table

    def __init__(self, path, pages):
        self.path, self.pages = path, pages
        self.huge = pages.there(self.LEAST)
        self.tsc_hz = None

    def run(self, what, *options, table_bytes=0):
        """The results of one measurement, for which the session tables take so many bytes."""
        megabytes = self.LEAST + int(table_bytes * 1.1) // 2**20
        if self.huge and not self.pages.there(megabytes):
            raise Trouble(f"no {megabytes} MB of 2 MB hugepages")
        memory = ["--huge"] if self.huge else ["--megabytes", str(max(megabytes, 1024))]
        done = subprocess.run([self.path, what, *memory, *map(str, options)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            said = lines[-1] if lines else f"exit status {done.returncode}"
            raise Trouble(said.removeprefix("shunt-bench: ").removeprefix("bench:"))
        # DPDK says things on standard output, too.
        report = json.loads(done.stdout[re.search(r"^\{", done.stdout, re.M).start():])
        self.tsc_hz = report["tsc_hz"]
        return report["results"]


def summary(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def spread(figures):
    return f"{figures['median']:.3f}   ({figures['least']:.3f} .. {figures['most']:.3f})"


def figure(row, tsc_hz):
    """One figure of a path as the JSON has it, of all its rounds."""
    ratio = summary([r["ratio"] for r in row["rounds"]])
    mpps, base = (statistics.median(r[kind] for r in row["rounds"]) / 1e6
                  for kind in ("shunt", "macswap"))
    named = {key: row[key] for key in ("path", "family", "sessions", "size", "bytes") if key in row}
    return {**named, "mpps": round(mpps, 3), "macswap_mpps": round(base, 3),
            "ratio": round(ratio["median"], 4), "cycles": round(tsc_hz / mpps / 1e6, 1),
            "spread": [round(ratio["least"], 4), round(ratio["most"], 4)]}
