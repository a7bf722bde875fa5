"""The plots of docs/performance.md, drawn by gnuplot from what `scripts/bench --json` wrote."""

import os
import subprocess

import goals
from machine import Trouble
from sections import MILLION, named
from stages import STAGES

HEAD = """\
set terminal svg size 760,400 font 'sans-serif,12' background '#ffffff'
set border 3 linecolor rgb '#666666'
set tics nomirror textcolor rgb '#333333'
set grid ytics linetype 1 linecolor rgb '#dddddd'
set key outside right top
set style fill solid 1.0 noborder
set style data histogram
set boxwidth 0.9 relative
"""
COLOURS = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222255",
           "#994455", "#999933", "#44bb99", "#ee8866", "#77aadd"]


def gnuplot(path, script):
    done = subprocess.run(["gnuplot"], input=f"{HEAD}set output '{path}'\n{script}", text=True,
                          capture_output=True)
    if done.returncode != 0:
        raise Trouble(f"gnuplot: {done.stderr.strip()}")


def table(name, rows):
    return f"${name} << EOD\n" + "\n".join("\t".join(map(str, row)) for row in rows) + "\nEOD\n"


def ratios(report, path):
    """Bars of every path at every number of sessions, and the floors as marks."""
    measured = {(f["path"], f["sessions"]): f for f in report["forwarding"]["figures"]
                if f["size"] == "64" and "ratio" in f}
    paths = [p for p in ("dr", "nat", "dr6", "ipip") if any(key[0] == p for key in measured)]
    columns = [s for s in (1, 65536, MILLION, 10 * MILLION) if any(k[1] == s for k in measured)]
    rows, marks = [], []
    for x, p in enumerate(paths):
        row = [p]
        for i, sessions in enumerate(columns):
            f = measured.get((p, sessions))
            row += [f["ratio"], *f["spread"]] if f else ["?", "?", "?"]
            floor = goals.RATIOS.get((p, sessions), (None,))[0]
            if floor and f:
                # Where gnuplot puts the bar: a cluster is as many bars wide, and a gap of one.
                marks.append([x + (i - (len(columns) - 1) / 2) / (len(columns) + 1), floor])
        rows.append(row)
    bars = ", ".join(
        f"$figures using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) title '{named(s)}' "
        f"linecolor rgb '{COLOURS[i]}'" for i, s in enumerate(columns))
    gnuplot(path, table("figures", rows) + table("floors", marks) +
            "set style histogram errorbars gap 1 linewidth 1\nset yrange [0:*]\n"
            "set ylabel 'Mpps / Mpps of macswap'\nset key title 'sessions'\n"
            f"plot {bars}, $floors using 1:2 with points pointtype 2 pointsize 1.2 linewidth 2 "
            "linecolor rgb '#000000' title 'floor'\n")


def cycles(report, path):
    """A column for each path: what each stage takes of a packet's cycles."""
    by_path = report["forwarding"]["cycles"]
    stages = [stage for stage, _ in STAGES if any(stage in taken for taken in by_path.values())]
    rows = [[p, *(taken.get(stage, 0) for stage in stages)] for p, taken in by_path.items()]
    bars = ", ".join(f"$cycles using {2 + i}:xtic(1) title '{stage}' linecolor rgb '{COLOURS[i]}'"
                     for i, stage in enumerate(stages))
    gnuplot(path, table("cycles", rows) + "set style histogram rowstacked\nset boxwidth 0.6\n"
            "set key invert\nset ylabel 'cycles a packet, 1 M sessions'\n"
            f"set xrange [-0.6:{len(rows) - 0.4}]\nplot {bars}\n")


def connections(report, path):
    steady = report["connections"]["steady"]
    columns = sorted({row["sessions"] for row in steady})
    rows = [[p] + [next((f"{row['per_second']['median'] / 1e6:.3f}" for row in steady
                         if (row["path"], row["sessions"]) == (p, s)), "?") for s in columns]
            for p in ("dr", "nat")]
    bars = ", ".join(f"$rates using {2 + i}:xtic(1) title '{named(s)}' linecolor rgb '{COLOURS[i]}'"
                     for i, s in enumerate(columns))
    gnuplot(path, table("rates", rows) + "set style histogram clustered gap 1\nset yrange [0:*]\n"
            "set ylabel 'million new sessions a second'\nset key title 'alive'\n"
            f"plot {bars}\n")


def draw(report, directory):
    """The names of the files drawn."""
    drawn = []
    for section, plot in (("forwarding", ratios), ("forwarding", cycles),
                          ("connections", connections)):
        if "skipped" not in report.get(section, {"skipped": True}):
            plot(report, os.path.join(directory, f"{plot.__name__}.svg"))
            drawn.append(f"{plot.__name__}.svg")
    return drawn
