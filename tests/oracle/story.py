"""A scenario in words: what a person needs to see, and to run it again."""

import json

import compare
import packet


def tell(scenario, real, ours):
    """Lines: commands, and each packet with what became of it on both sides."""
    lines = [f"    ipvsadm {rule}" for rule in scenario["rules"]]
    for number, step in enumerate(scenario["steps"], 1):
        if step["kind"] == "edit":
            lines.append(f"{number:3} ipvsadm {step['command']}")
            continue
        if step["kind"] == "wait":
            lines.append(f"{number:3} {step['seconds']} s later")
            continue
        if step["kind"] == "list":
            lines.append(f"{number:3} ipvsadm {step['words']}")
            continue
        theirs = real["steps"][number - 1]
        if "in" not in theirs:
            continue
        lines.append(f"{number:3} {packet.summary(bytes.fromhex(theirs['in']))}")
        lines.append(f"      IPVS:  {_lane(compare.lane_of(theirs), [f for _, f in theirs['out']])}")
        mine = (ours.get("steps") or [None] * number)[number - 1]
        if mine is not None:
            lane = "out" if mine["out"] else "kernel" if mine["kernel"] else "nothing"
            lines.append(f"      Shunt: {_lane(lane, mine['out'])}")
    return lines


def _lane(lane, frames):
    def words(text):
        frame = bytes.fromhex(text)
        return f"{packet.summary(frame)} to {frame[:6].hex(':')}"

    return {"out": ", ".join(map(words, frames))}.get(lane, lane)


def compact(scenario):
    """The scenario as one line of JSON, for --scenario."""
    keep = {k: scenario[k] for k in ("rules", "flows", "steps", "ftp") if k in scenario}
    return json.dumps(keep, separators=(",", ":"))
