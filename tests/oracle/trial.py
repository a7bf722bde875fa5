"""Runs scenarios on both sides: trial.py's Trial is what the random run, the shrinker and the
proof have in common."""

import concurrent.futures

import compare
import deviations
import replay

SLOW = 0.7  # seconds, without waiting; the shortest timeouts are SCTP's of 4 s
TOO_SLOW = 2  # then a timeout may come while packets do
ATTEMPTS = 3


class Trial:
    def __init__(self, guest, binary, workers=2):
        self._guest, self.binary, self._workers = guest, binary, workers
        self.slow = 0  # scenarios that were run again
        self.once = []  # (scenario, its differences) of those that were the same when run again
        self.unjudged = 0  # that differed, but were too slow each time
        self.wanted = {}  # deviation -> how often it was seen

    def answers(self, scenarios):
        return self._guest.ask(scenarios)

    def ours(self, scenarios, answers):
        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(lambda pair: replay.run(self.binary, *pair), zip(scenarios, answers)))

    def differences(self, scenarios, answers=None):
        """For each scenario the unexplained Differences."""
        if answers is None:
            answers = self.answers(scenarios)
            found = self._compare(scenarios, answers)
            # Both sides go by the guest's clock, but the kernel's timers are up to an eighth late:
            # where scenarios are played side by side, or the machine is busy, a packet may have
            # come in between. Alone it is another matter: waits are chosen so.
            for index, answer in enumerate(answers):
                at_first = found[index]
                for attempt in range(ATTEMPTS):
                    if not found[index] or attempt and answer["seconds"] <= SLOW:
                        break
                    self.slow += 1
                    [answer] = self.answers([scenarios[index]])
                    [found[index]] = self._compare([scenarios[index]], [answer])
                if found[index] and answer["seconds"] > TOO_SLOW:
                    self.unjudged += 1
                    found[index] = []
                elif at_first and not found[index]:
                    self.once.append((scenarios[index], at_first))
            return found
        return self._compare(scenarios, answers)

    def _compare(self, scenarios, answers):
        ours = self.ours(scenarios, answers)
        return [self._unexplained(s, compare.compare(s, a, o)) for s, a, o in zip(scenarios, answers, ours)]

    def _unexplained(self, scenario, found):
        out, lost = [], 0
        for difference in found:
            # Linux tells the sender of each packet it lost so, and counts that, too.
            difference.facts["own_errors"] = difference.facts.get("own_errors", 0) + lost
            name = deviations.explain(scenario, difference)
            lost += name == "stale-route"
            if name is None:
                out.append(difference)
            else:
                self.wanted[name] = self.wanted.get(name, 0) + 1
        return out
