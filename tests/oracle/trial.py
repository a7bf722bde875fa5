"""Runs scenarios on both sides: trial.py's Trial is what the random run, the shrinker and the
proof have in common."""

import concurrent.futures

import compare
import deviations
import replay

SLOW = 1.5  # seconds; the shortest timeouts are SCTP's of 3 s


class Trial:
    def __init__(self, guest, binary, workers=2):
        self._guest, self.binary, self._workers = guest, binary, workers
        self.slow = 0  # scenarios that were run again
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
            # The guest's clock goes on: where it took seconds (the machine is busy), timeouts of a
            # few seconds may have come, which no frame asked for.
            for index, answer in enumerate(answers):
                if found[index] and answer["seconds"] > SLOW:
                    self.slow += 1
                    again = self.answers([scenarios[index]])
                    [found[index]] = self._compare([scenarios[index]], again)
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
