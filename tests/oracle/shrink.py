"""Makes a scenario that differs as small as it goes, and the difference stays.

First steps and rules go in ever smaller pieces (delta debugging: Zeller and Hildebrandt, 2002),
then what is special about the packets that are left. All candidates of a round are one job.
"""

import json

import world

PLAIN = ("size", "tos", "df", "ident", "ttl", "seq", "no_sum", "cut", "rest")


def signature(difference):
    """What must be the same for two differences to be the same one."""
    if difference.kind == "frame":
        return difference.kind, tuple(sorted(difference.facts["fields"]))
    if difference.kind == "lane":
        facts = difference.facts
        return difference.kind, facts["lane"], len(facts["wanted"]), len(facts["got"]), facts["kernel"]
    if difference.kind == "counter" and difference.facts:
        return difference.kind, tuple(difference.facts["columns"])
    return (difference.kind,)


def _only(scenario, virtual):
    """The scenario without the services of other virtual addresses and ports."""
    name = f" {world.endpoint(*virtual)} "
    steps = [
        s
        for s in scenario["steps"]
        if ("flow" in s and scenario["flows"][s["flow"]][3:] == virtual) or name in s.get("command", "") + " "
    ]
    return {**scenario, "rules": [r for r in scenario["rules"] if name in r + " "], "steps": steps}


class Shrinker:
    def __init__(self, run, scenario, difference):
        """run(scenarios) gives the differences of each."""
        self._run, self._scenario, self._difference = run, scenario, difference
        self._wanted = signature(difference)

    def shrink(self):
        self._leap()
        for _ in range(3):
            before = self._size()
            self._remove("steps")
            self._remove("rules")
            if self._size() == before:
                break
        self._simplify()
        used = sorted({s["flow"] for s in self._scenario["steps"] if "flow" in s})
        flows = [self._scenario["flows"][f] for f in used]
        steps = [{**s, "flow": used.index(s["flow"])} if "flow" in s else s for s in self._scenario["steps"]]
        return {**self._scenario, "flows": flows, "steps": steps}

    def _size(self):
        return len(self._scenario["steps"]), len(self._scenario["rules"])

    def _first(self, candidates):
        """The index of the first candidate with the same difference, or None."""
        for index, differences in enumerate(self._run(candidates)):
            if any(signature(d) == self._wanted for d in differences):
                return index
        return None

    def _leap(self):
        """The guesses that most often hold: nothing after it matters, nor any other service."""
        step, scenario = self._difference.step, self._scenario
        if step < 0:
            guesses = [_only(scenario, scenario["flows"][f][3:]) for f in range(len(scenario["flows"]))]
            guesses = list({json.dumps(g): g for g in guesses}.values())
        else:
            cut = {**scenario, "steps": scenario["steps"][: step + 1]}
            guesses = [cut]
            if "flow" in scenario["steps"][step]:
                guesses.insert(0, _only(cut, scenario["flows"][scenario["steps"][step]["flow"]][3:]))
        found = self._first(guesses)
        if found is not None:
            self._scenario = guesses[found]

    def _remove(self, part):
        pieces = 2
        while items := self._scenario[part]:
            pieces = min(pieces, len(items))
            edges = [len(items) * i // pieces for i in range(pieces + 1)]
            candidates = [
                {**self._scenario, part: items[:a] + items[b:]} for a, b in zip(edges, edges[1:])
            ]
            found = self._first(candidates)
            if found is not None:
                self._scenario = candidates[found]
                pieces = max(pieces - 1, 2)
            elif pieces == len(items):
                return
            else:
                pieces = min(pieces * 2, len(items))

    def _simplify(self):
        index = 0
        while index < len(self._scenario["steps"]):
            step = self._scenario["steps"][index]
            fields = [f for f in PLAIN if f in step and step["kind"] != "error"]
            candidates = []
            for drop in [fields] + [[f] for f in fields]:
                if drop:
                    plain = {k: v for k, v in step.items() if k not in drop}
                    steps = self._scenario["steps"][:index] + [plain] + self._scenario["steps"][index + 1 :]
                    candidates.append({**self._scenario, "steps": steps})
            found = self._first(candidates) if candidates else None
            if found is None:
                index += 1
            else:
                self._scenario = candidates[found]
