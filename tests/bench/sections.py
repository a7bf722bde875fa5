"""The sections of the benchmark: each measures, prints a table for people and returns figures.

A section that cannot be measured says why, in one sentence, and the others go on.
"""

import glob
import json
import os
import statistics
import subprocess

import goals
import testpmd
from machine import ROOT, Trouble
from program import figure, spread, summary
from stages import Symbols, cycles_by_stage

MILLION = 1 << 20
NAMES = {1: "1", 65536: "64 K", MILLION: "1 M", 10 * MILLION: "10 M"}


def named(sessions):
    return NAMES.get(sessions, str(sessions))


class Run:
    """What all sections need: the program, how long to measure, and where verdicts go."""

    def __init__(self, program, quick, verdicts):
        self.program, self.quick, self.verdicts = program, quick, verdicts
        self.bytes_a_session = {"IPv4": 256, "IPv6": 384}  # until they are known

    def measure(self, what, *options, sessions=0, family="IPv4", tables=1):
        return self.program.run(what, *options, *(["--sessions", sessions] if sessions else []),
                                table_bytes=self.bytes_a_session[family] * sessions * tables)


def median_of(row, key):
    return statistics.median(r[key] for r in row["rounds"])


def yardstick(run):
    """macswap in our loop against dpdk-testpmd's, in rounds that take turns."""
    print("\n== The yardstick: macswap as it runs in the loop of the ratios, to dpdk-testpmd's")
    reason = testpmd.why_not()
    if reason:
        raise Trouble(reason)
    seconds, rows = 0.5 if run.quick else 2, []
    for _ in range(5 if run.quick else 9):
        reference = testpmd.packets_per_second(testpmd.null_port(64), run.program.huge, seconds)
        ours = run.measure("macswap", "--rounds", 5, "--milliseconds", int(seconds * 100))[0]
        rows.append({"testpmd": reference,
                     **{kind: median_of(ours, kind) for kind in ("bare", "filled")}})
    figures = {"rounds": rows, "bare": summary([r["bare"] / r["testpmd"] for r in rows]),
               "filled": summary([r["filled"] / r["testpmd"] for r in rows])}
    verdict = run.verdicts.at_least("macswap to testpmd's", figures["filled"]["median"],
                                    goals.MACSWAP_TO_TESTPMD)
    print(f"with the frames written, as in all ratios      {spread(figures['filled'])}   {verdict}\n"
          f"without, which is all that testpmd does        {spread(figures['bare'])}")
    return figures


def memory(run):
    """Bytes a session, as DPDK's allocator counts what a table of a million takes."""
    print("\n== Bytes a session, index and timers included (a table of 1 M)")
    rows = run.measure("memory", sessions=MILLION, tables=2, family="IPv6")
    for row in rows:
        run.bytes_a_session[row["family"]] = row["bytes_a_session"]
        verdict = run.verdicts.at_most(f"bytes a session, {row['family']}",
                                       round(row["bytes_a_session"], 1), *goals.BYTES[row["family"]])
        print(f"{row['family']}   {row['bytes_a_session']:6.1f}   the session itself "
              f"{row['session_itself']}   {verdict}")
    return rows


def forwarding(run):
    """Every path at every number of sessions; then other sizes of frames."""
    print("\n== Forwarding: sessions drawn at random, medians of 10 rounds beside macswap's")
    print("path          sessions  size     Mpps  macswap  cycles   ratio   (least .. most)")
    few, many = [1, 65536, MILLION], [10 * MILLION]
    cells = [(path, sessions, "64") for path in ("dr", "nat", "dr6", "ipip")
             for sessions in few + ([] if run.quick else many)]
    cells += [(path, 65536, "64") for path in ("udp-o-maglev", "udp-o-mh")]
    cells += [(path, 65536, size) for path in ("dr", "nat") + (() if run.quick else ("dr6", "ipip"))
              for size in ("imix", "1500")]
    figures, cycles, milliseconds = [], {}, 60 if run.quick else 300
    symbols = Symbols(run.program.path)
    for path, sessions, size in cells:
        profile = ["--profile"] if size == "64" and sessions == MILLION else []
        try:
            row = run.measure("forwarding", "--path", path, "--size", size, "--rounds", 10,
                              "--milliseconds", milliseconds, *profile, sessions=sessions,
                              family="IPv6" if path == "dr6" else "IPv4")[0]
        except Trouble as trouble:
            figures.append({"path": path, "sessions": sessions, "size": size,
                            "skipped": str(trouble)})
            print(f"{path:12}  {named(sessions):>8}  {size:4}  skipped: {trouble}")
            continue
        f = figure(row, run.program.tsc_hz)
        figures.append(f)
        if profile:
            cycles[path] = cycles_by_stage(row["profile"], symbols, f["cycles"])
        verdict = ""
        if size == "64" and (path, sessions) in goals.RATIOS:
            verdict = run.verdicts.at_least(f"{path} at {named(sessions)} sessions", f["ratio"],
                                            *goals.RATIOS[path, sessions])
        print(f"{path:12}  {named(sessions):>8}  {size:4}  {f['mpps']:7.2f}  {f['macswap_mpps']:7.1f}"
              f"  {f['cycles']:6.0f}   {f['ratio']:.3f}   ({f['spread'][0]:.3f} .. "
              f"{f['spread'][1]:.3f})   {verdict}")
    print("where the cycles go at 1 M sessions (samples of CPU time; what is inlined counts where it is)")
    for path, stages in cycles.items():
        print(f"{path:6}" + ", ".join(f"{stage} {took:.0f}" for stage, took in stages.items()))
    return {"figures": figures, "cycles": cycles}


def connections(run):
    """New connections a second into a table that stays as full; its capacity; and the end of all."""
    print("\n== New connections: look up, pick, insert, expire, delete; as many end as begin")
    figures = {"steady": [], "capacity": []}
    for path in ("dr", "nat"):
        for sessions in (65536, MILLION) if run.quick else (65536, MILLION, 10 * MILLION):
            row = run.measure("connections", "--path", path, "--rounds", 5, "--milliseconds",
                              60 if run.quick else 400, sessions=sessions)[0]
            rates = summary([r["shunt"] for r in row["rounds"]])
            figures["steady"].append({"path": path, "sessions": sessions, "per_second": rates})
            verdict = ""
            if sessions == 10 * MILLION and path == "dr":
                verdict = run.verdicts.at_least("new connections a second, 10 M alive",
                                                rates["median"], *goals.CONNECTIONS)
            print(f"{path:4} {named(sessions):>5} alive  {rates['median'] / 1e6:5.2f} M/s   "
                  f"({rates['least'] / 1e6:.2f} .. {rates['most'] / 1e6:.2f})   {verdict}")
        row = run.measure("capacity", "--path", path, sessions=MILLION)[0]
        figures["capacity"].append(row)
        print(f"{path:4} a table of {row['capacity']} held {row['held']} when it first refused; "
              f"filled at {row['filled_per_second'] / 1e6:.2f} M/s, flushed at "
              f"{row['ended_per_second'] / 1e6:.2f} M/s")
    return figures


def flood(run):
    print("\n== SYN flood, the table full: every second packet a stranger's, the others live flows'")
    rows = []
    for full in ("refuse", "stateless", "evict"):
        # A minute of the flood, as far as new flows are refused.
        milliseconds = 200 if run.quick else 6000 if full == "refuse" else 1000
        row = run.measure("flood", "--full", full, "--rounds", 10, "--milliseconds", milliseconds,
                          sessions=MILLION)[0]
        row["share"] = row["live_in_flood"] / row["live_alone"]
        rows.append(row)
        verdict = run.verdicts.at_least(f"rate of live flows in a SYN flood, full = {full}",
                                        round(row["share"], 3), goals.LIVE_IN_FLOOD)
        lost = run.verdicts.at_most(f"packets lost of live flows in a SYN flood, full = {full}",
                                    row["lost"], 0)
        print(f"{full:9} live flows alone {row['live_alone'] / 1e6:.2f} Mpps, in the flood "
              f"{row['live_in_flood'] / 1e6:.2f}: {row['share']:.2f} of it   {verdict}\n"
              f"{'':9} {row['strangers'] / 1e6:.2f} Mpps of strangers for {row['seconds']:g} s of CPU "
              f"time: {row['refused']} refused, {row['admitted']} got a server; sessions lost 0 of "
              f"{row['live_sessions']}, packets {row['lost']}   {lost}")
    return rows


def floods(run):
    """Each kind of flood alone, and what is left of live flows' rate beside it."""
    print("\n== Floods: a kind alone, to macswap; of live flows' rate what is left beside 1 in 100, 1 in 20 and as many")
    print("kind                  Mpps   ratio   1/100    1/20     1/2   t/(t+f)   lost")
    rows = run.measure("floods", "--rounds", 3 if run.quick else 9, "--milliseconds",
                       15 if run.quick else 100, sessions=65536, family="IPv6", tables=3)
    figures = []
    for row in rows:
        kind = row["kind"]
        if "skipped" in row:
            figures.append(row)
            run.verdicts.at_most(f"{kind}: could not be measured", 1, 0)
            print(f"{kind:20}  skipped: {row['skipped']}")
            continue

        def of(measure):
            return statistics.median(measure(r) for r in row["rounds"])

        f = {"kind": kind, "path": row["path"], "begins_sessions": row["begins_sessions"],
             "mpps": of(lambda r: r["flood"]) / 1e6,
             "ratio": of(lambda r: r["flood"] / r["macswap"]),
             **{f"share_1_in_{n}": of(lambda r: r[f"live_1_in_{n}"] / r["live"])
                for n in (100, 20, 2)},
             # What costs t and f alone costs t + f together.
             "fair_share": of(lambda r: r["flood"] / (r["flood"] + r["live"])),
             "to_fair_share": of(lambda r: r["live_1_in_2"] / r["live"]
                                 / (r["flood"] / (r["flood"] + r["live"]))),
             "lost": row["lost"]}
        figures.append(f)
        said = []
        if not row["begins_sessions"]:
            said.append(run.verdicts.at_least(f"{kind}: alone, to macswap", round(f["ratio"], 4),
                                              goals.FLOOD_ALONE))
        for n, floor in goals.LIVE_BESIDE_FLOOD.items():
            said.append(run.verdicts.at_least(f"{kind}: share of live flows beside 1 in {n}",
                                              round(f[f"share_1_in_{n}"], 3), floor))
        said.append(run.verdicts.at_least(f"{kind}: share of live flows beside as many, to t/(t+f)",
                                          round(f["to_fair_share"], 3), goals.TO_FAIR_SHARE))
        said.append(run.verdicts.at_most(f"{kind}: packets lost of live flows", f["lost"], 0))
        missed = "".join(f"   {text}" for text in said if text.startswith("MISSED"))
        print(f"{kind:20}  {f['mpps']:5.2f}   {f['ratio']:.3f}   {f['share_1_in_100']:.3f}   "
              f"{f['share_1_in_20']:.3f}   {f['share_1_in_2']:.3f}     {f['fair_share']:.3f}   "
              f"{f['lost']:4}{missed}")
    return figures


def loop(run):
    """Turns against an empty loop in the same run."""
    print("\n== The loop: turns of two bursts of 64 packets, p99.99 of CPU time less that of an empty loop")
    sessions = MILLION if run.quick else 10 * MILLION
    row = run.measure("loop", "--rounds", 10, "--milliseconds", 100 if run.quick else 1000,
                      sessions=sessions)[0]
    for kind, limit in goals.LOOP_MICROSECONDS.items():
        over = row[kind]["p9999_over"] / 1000
        verdict = run.verdicts.at_most(f"microseconds of p99.99 over an empty loop's, {kind}", over,
                                       limit)
        print(f"{kind:11} {over:6.1f} us   (turns: p50 {row[kind]['loop']['p50'] / 1000:.1f}, p99.99 "
              f"{row[kind]['loop']['p9999'] / 1000:.1f}; empty: p99.99 "
              f"{row[kind]['empty']['p9999'] / 1000:.1f})   {verdict}")
    build = row["build_and_publish"]
    verdict = run.verdicts.at_most("ms to build a maglev table of 1000 servers",
                                   build["p50"] / 1e6, goals.BUILD_MILLISECONDS)
    print(f"65537-slot table of 1000 servers: edited, built and published in {build['p50'] / 1e6:.2f} ms"
          f" (p50), {build['p99'] / 1e6:.2f} (p99), {build['count']} times   {verdict}\n"
          f"{row['dumped_records']} sessions dumped meanwhile; {named(sessions)} sessions, "
          f"{row['cpus']} CPUs")
    return row


def latency(run):
    print("\n== Latency at half load, packets arriving evenly whether taken or not (1024 may wait)")
    rows = []
    for sessions in (65536, MILLION):
        row = run.measure("latency", "--rounds", 10, "--milliseconds", 60 if run.quick else 300,
                          sessions=sessions)[0]
        rows.append(row)
        for who in ("shunt", "macswap"):
            at = row[who]["half_load"]
            print(f"{named(sessions):>5}  {who:8} at {at['mpps']:5.2f} Mpps: p50 {at['p50'] / 1e3:.1f}, "
                  f"p99 {at['p99'] / 1e3:.1f}, p99.9 {at['p999'] / 1e3:.1f} us, lost {at['lost']}; "
                  f"without loss up to {row[who]['ndr_mpps']:.2f} of {row[who]['most_mpps']:.2f} Mpps")
    return rows


def strays(run):
    print("\n== A stray's hop: two workers take turns on one core, half the packets change hands")
    row = run.measure("strays", "--rounds", 10, "--milliseconds", 50 if run.quick else 200,
                      sessions=65536, tables=3)[0]
    hop = summary([r["hop_nanoseconds"] for r in row["rounds"]])
    verdict = run.verdicts.at_most("ns of a stray's hop", round(hop["median"], 1),
                                   goals.HOP_NANOSECONDS)
    print(f"{hop['median']:.0f} ns   ({hop['least']:.0f} .. {hop['most']:.0f}), the second worker's "
          f"turns and the search for the owner included   {verdict}")
    return {**row, "hop_nanoseconds": hop}


def replay(run):
    """Captures, preloaded, through everything; testpmd's macswap on the same files."""
    print("\n== Captures through the whole loop; ratios to macswap here and to testpmd's on that file")
    captures = sorted(glob.glob(os.path.join(ROOT, "pcap", "*.pcap")))
    rows = run.measure("replay", "--rules", os.path.join(ROOT, "tests/bench/replay.rules"),
                       "--rounds", 5, "--milliseconds", 20 if run.quick else 100,
                       "--captures", *captures)
    reason = "only without --quick" if run.quick else testpmd.why_not()
    figures = []
    for row in rows:
        name = os.path.basename(row["capture"]).removesuffix(".pcap")
        if "skipped" in row:
            why = row["skipped"].replace(ROOT + os.sep, "")  # what is published names no machine's paths
            figures.append({"capture": name, "skipped": why})
            continue
        f = {"capture": name, **figure(row, run.program.tsc_hz),
             **{key: row[key] for key in ("frames", "left_out", "forwarded", "to_kernel", "bytes")}}
        beside = reason
        if not reason and row["left_out"] == 0:
            try:
                rate = testpmd.packets_per_second(testpmd.capture_port(row["capture"]),
                                                  run.program.huge, 0.5)
                f["testpmd_mpps"], f["testpmd_ratio"] = rate / 1e6, f["mpps"] * 1e6 / rate
                beside = f"{f['testpmd_ratio']:.2f} of testpmd's {rate / 1e6:.1f}"
            except Trouble as trouble:
                beside = str(trouble)
        elif not reason:
            beside = "testpmd skipped: frames left out here"
        figures.append(f)
        print(f"{name:26} {f['mpps']:6.2f} Mpps   {f['ratio']:.3f} of macswap   "
              f"{row['forwarded'] * 100:3.0f} % forwarded, {row['to_kernel'] * 100:3.0f} % to Linux"
              f"   {beside}")
    return figures


def kernel(run):
    """This kernel's DNAT on the same frames, as a live peer."""
    print("\n== The kernel's own NAT (nftables, conntrack) in a namespace: CPU time a packet")
    peer = os.path.join(ROOT, "tests/bench/kernel_peer.py")
    done = subprocess.run([peer, "0.5" if run.quick else "3"], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise Trouble(lines[-1] if lines else "it ended without a word")
    rows = json.loads(done.stdout)
    for row in rows:
        print(f"{row['flows']:6} flows: DNAT {row['dnat_nanoseconds']:.0f} ns "
              f"({1e3 / row['dnat_nanoseconds']:.2f} Mpps), plain forwarding "
              f"{row['forward_nanoseconds']:.0f} ns, of which the source is "
              f"{row['source_nanoseconds']:.0f} ns")
    return rows


ALL = [yardstick, memory, forwarding, connections, flood, floods, loop, latency, strays, replay, kernel]
