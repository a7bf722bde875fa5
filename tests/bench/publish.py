"""docs/performance/: tables and plots of one run, made of what `scripts/bench --json` wrote."""

import json
import os

import plots
from machine import Trouble
from sections import named


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |\n"


def heading(*cells):
    return row(*cells) + "|" + "---|" * len(cells) + "\n"


def of_forwarding(section):
    text = "## Forwarding\n\nMedians of ten rounds; in brackets the least and the greatest ratio.\n\n"
    text += heading("path", "sessions", "frames", "Mpps", "macswap", "cycles a packet", "ratio")
    for f in section["figures"]:
        size = f"{f['size']} bytes" if f["size"] != "imix" else "IMIX"
        start = (f"`{f['path']}`", named(f["sessions"]), size)
        if "skipped" in f:
            text += row(*start, "", "", "", f"not measured: {f['skipped']}")
        else:
            text += row(*start, f"{f['mpps']:.2f}", f"{f['macswap_mpps']:.1f}", f"{f['cycles']:.0f}",
                        f"{f['ratio']:.3f} ({f['spread'][0]:.3f} .. {f['spread'][1]:.3f})")
    stages = list(dict.fromkeys(stage for taken in section["cycles"].values() for stage in taken))
    text += ("\n![Ratios](ratios.svg)\n\n## Where the cycles go\n\nOf a packet at 1 M sessions, by "
             "samples of CPU time. What the compiler inlined counts where it is.\n\n")
    text += heading("path", *stages)
    for path, taken in section["cycles"].items():
        text += row(f"`{path}`", *(f"{taken.get(stage, 0):.0f}" for stage in stages))
    return text + "\n![Cycles by stage](cycles.svg)\n"


def of_connections(section):
    text = "## New connections\n\n" + heading("path", "alive", "million a second", "least", "most")
    for f in section["steady"]:
        rate = {kind: f"{value / 1e6:.2f}" for kind, value in f["per_second"].items()}
        text += row(f"`{f['path']}`", named(f["sessions"]), rate["median"], rate["least"],
                    rate["most"])
    text += "\n" + heading("path", "capacity", "held when first refused", "filled, M/s",
                           "flushed, M/s")
    for f in section["capacity"]:
        text += row(f"`{f['path']}`", f["capacity"], f["held"], f"{f['filled_per_second'] / 1e6:.2f}",
                    f"{f['ended_per_second'] / 1e6:.2f}")
    return text + "\n![New connections](connections.svg)\n"


def of_floods(section):
    text = ("## Floods\n\nOne kind of flood alone, to macswap; and what live flows keep of their rate "
            "beside it at one packet in 100, in 20 and in 2, the last one to t/(t+f), too: what costs t and "
            "f alone costs t + f together. `*`: begins sessions while there is room.\n\n")
    text += heading("kind", "Mpps", "to macswap", "1 in 100", "1 in 20", "1 in 2", "to t/(t+f)", "lost")
    for f in section:
        if "skipped" in f:
            text += row(f"`{f['kind']}`", f"not measured: {f['skipped']}", *[""] * 6)
            continue
        text += row(f"`{f['kind']}`" + (" *" if f["begins_sessions"] else ""), f"{f['mpps']:.2f}",
                    f"{f['ratio']:.3f}", *(f"{f[f'share_1_in_{n}']:.2f}" for n in (100, 20, 2)),
                    f"{f['to_fair_share']:.2f}", f["lost"])
    return text


def of_latency(section):
    text = ("## Latency at half load\n\nMicroseconds of CPU time from arrival to departure; `without "
            "loss` is the highest rate without any in a trial.\n\n")
    text += heading("sessions", "loop", "Mpps", "p50", "p99", "p99.9", "lost", "without loss, Mpps",
                    "at most, Mpps")
    for f in section:
        for who in ("shunt", "macswap"):
            at = f[who]["half_load"]
            text += row(named(f["sessions"]), who, f"{at['mpps']:.2f}",
                        *(f"{at[p] / 1e3:.1f}" for p in ("p50", "p99", "p999")), at["lost"],
                        f"{f[who]['ndr_mpps']:.2f}", f"{f[who]['most_mpps']:.2f}")
    return text


def of_replay(section):
    text = ("## Captures\n\nEach capture's frames again and again, whatever becomes of them: forwarded, "
            "Linux's, or dropped.\n\n")
    text += heading("capture", "Mpps", "to macswap", "to testpmd's", "forwarded", "to Linux")
    for f in section:
        if "skipped" in f:
            continue
        beside = f"{f['testpmd_ratio']:.2f}" if "testpmd_ratio" in f else ""
        text += row(f["capture"], f"{f['mpps']:.1f}", f"{f['ratio']:.3f}", beside,
                    f"{f['forwarded'] * 100:.0f} %", f"{f['to_kernel'] * 100:.0f} %")
    return text


def of_kernel(section):
    text = ("## The kernel's own NAT\n\nNanoseconds of CPU time a packet, through a packet socket and veth "
            "pairs; `source` is what it costs to get packets in and drop them there.\n\n")
    text += heading("flows", "source", "plain forwarding", "DNAT", "DNAT, Mpps")
    for f in section:
        text += row(f["flows"], *(f"{f[k + '_nanoseconds']:.0f}" for k in ("source", "forward", "dnat")),
                    f"{1e3 / f['dnat_nanoseconds']:.2f}")
    return text


def of_verdicts(rows):
    text = "## What was to be reached\n\n" + heading("what", "measured", "floor", "goal", "")
    for f in rows:
        verdict = ("**missed**" if not f["holds"] else "goal reached" if f["goal_reached"]
                   else "goal missed" if f["floor"] is None else "holds")
        text += row(f["what"], f"{f['measured']:g}", "" if f["floor"] is None else f"{f['floor']:g}",
                    "" if f["goal"] is None else f"{f['goal']:g}", verdict)
    return text


SECTIONS = {"verdicts": of_verdicts, "forwarding": of_forwarding, "connections": of_connections,
            "floods": of_floods, "latency": of_latency, "replay": of_replay, "kernel": of_kernel}


def publish(file, directory):
    try:
        with open(file) as source:
            report = json.load(source)
    except (OSError, ValueError) as error:
        raise Trouble(f"{file}: {error}") from error
    os.makedirs(directory, exist_ok=True)
    machine = report["machine"]
    pages = "2 MB hugepages" if report["hugepages"] else "no hugepages: indicative only"
    text = ("# Figures of one run\n\nMade by `scripts/bench --publish`; [performance.md](../performance.md)"
            f" tells what they mean.\n\n{machine['cpu']}, {machine['cpus']} CPUs, Linux "
            f"{machine['kernel']}, {pages}; commit {machine['commit']}, {machine['time']}; load "
            f"{machine['load'][0]} at the beginning, {machine['load_after'][0]} at the end.\n")
    for name, write in SECTIONS.items():
        section = report.get(name)
        if section and "skipped" not in section:
            text += "\n" + write(section)
    plots.draw(report, directory)
    with open(os.path.join(directory, "README.md"), "w") as target:
        target.write(text)
    with open(os.path.join(directory, "figures.json"), "w") as target:
        json.dump(report, target, indent=1)
        target.write("\n")
