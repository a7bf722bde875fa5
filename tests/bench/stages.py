"""Where the cycles go: a profile's places as stages of a packet's way (docs/architecture.md)."""

import bisect
import re
import subprocess

# First match wins. A library counts by its name.
STAGES = [
    ("generator", r"bench::|librte_ethdev"),
    ("port", r"librte_net_null|librte_mempool|librte_mbuf|receive_from_ports|Worker::flush\("),
    ("swift lane", r"swift6?_(any|v\d)|note_swift|make_good|speed_up"),
    ("express lane", r"[Ee]xpress"),
    ("classify", r"classify|net::parse|plain_frame"),
    ("steer", r"steer|owner"),
    ("find", r"dataplane::find<|lookup|librte_hash|rte_jhash|flow_index|FlowIndex|memcmp"),
    ("admit", r"admit|pick|siphash|schedul|insert|service_of|ServiceTable|EndpointShards"),
    ("advance", r"advance|next_.*state"),
    ("route", r"dataplane::route|Routes::|fragment"),
    ("rewrite", r"rewrite|hop_limit|translate|net::edit|checksum"),
    ("resolve", r"resolve|NextHops"),
    ("timers", r"expire|TimingWheel|erase|retire"),
    ("rest of the turn", r""),
]


class Symbols:
    """Functions of a program by their addresses."""

    def __init__(self, program):
        lines = subprocess.run(["nm", "-C", "--defined-only", program], capture_output=True,
                               text=True, check=True).stdout.splitlines()
        rows = sorted((int(line[:16], 16), line[19:]) for line in lines
                      if re.match(r"[0-9a-f]{16} [tTwW] ", line))
        self.addresses, self.names = [r[0] for r in rows], [r[1] for r in rows]

    def name(self, address):
        at = bisect.bisect_right(self.addresses, address) - 1
        return self.names[at] if at >= 0 else ""


def cycles_by_stage(profile, symbols, cycles):
    """Of a packet's cycles, how many each stage took."""
    counts = dict.fromkeys((name for name, _ in STAGES), 0)
    for file, places in profile.items():
        for address, count in places.items():
            name = symbols.name(int(address)) if file == "program" else file
            stage = next(stage for stage, pattern in STAGES if re.search(pattern, name))
            counts[stage] += count
    total = sum(counts.values())
    return {stage: round(cycles * count / total, 1) for stage, count in counts.items() if count}
