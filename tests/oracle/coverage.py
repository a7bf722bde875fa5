"""Which cells of schedulers x methods x protocols x kinds of edit the scenarios have had."""

import edits


def edits_of(can, form):
    """[(method, kind of edit)] that a service of this form can have: its protocol, or "any", or
    "fwm"."""
    kinds = [k for k in edits.kinds(can) if k != "one-packet" or form in ("udp", "fwm")]
    return [(method, kind) for method in can.methods for kind in kinds]


def all_cells(can):
    return {
        (scheduler, method, form, kind)
        for scheduler in can.schedulers
        for form in can.forms
        for method, kind in edits_of(can, form)
    }


def table(can, seen):
    """Lines: a row for each scheduler, a column for each method and form of service, and in it how
    many kinds of edit of all were seen."""
    heads = [(m, p) for p in can.forms for m in can.methods]
    lines = ["scheduler  " + "".join(f"{m + ' ' + p:>12}" for m, p in heads)]
    for scheduler in can.schedulers:
        row = f"{scheduler:<11}"
        for method, form in heads:
            mine = [c for c in seen if c[:3] == (scheduler, method, form)]
            of = sum(m == method for m, _ in edits_of(can, form))
            row += f"{f'{len(mine)}/{of}':>12}"
        lines.append(row)
    wanted = all_cells(can)
    lines.append(f"{len(wanted & seen)} of {len(wanted)} cells, {len(wanted - seen)} empty")
    return lines
