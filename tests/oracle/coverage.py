"""Which cells of schedulers x methods x protocols x kinds of edit the scenarios have had."""

import edits


def edits_of(can, protocol):
    """[(method, kind of edit)] that a service of this protocol can have."""
    kinds = [k for k in edits.kinds(can) if k != "one-packet" or protocol == "udp"]
    return [(method, kind) for method in can.methods for kind in kinds]


def all_cells(can):
    return {
        (scheduler, method, protocol, kind)
        for scheduler in can.schedulers
        for protocol in can.protocols
        for method, kind in edits_of(can, protocol)
    }


def table(can, seen):
    """Lines: a row for each scheduler, a column for each method and protocol, and in it how many
    kinds of edit of all were seen, and the edits themselves counted below."""
    heads = [(m, p) for p in can.protocols for m in can.methods]
    lines = ["scheduler  " + "".join(f"{m + ' ' + p:>12}" for m, p in heads)]
    for scheduler in can.schedulers:
        row = f"{scheduler:<11}"
        for method, protocol in heads:
            mine = [c for c in seen if c[:3] == (scheduler, method, protocol)]
            of = sum(m == method for m, _ in edits_of(can, protocol))
            row += f"{f'{len(mine)}/{of}':>12}"
        lines.append(row)
    wanted = all_cells(can)
    lines.append(f"{len(wanted & seen)} of {len(wanted)} cells, {len(wanted - seen)} empty")
    return lines
