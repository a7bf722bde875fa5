"""What is to be reached: for each figure a floor, which must hold, and a goal."""

# Ratio to macswap: (path, sessions): (floor, goal). 64-byte frames (IPv6: 74).
RATIOS = {
    ("dr", 65536): (0.50, 0.62), ("dr", 1048576): (0.42, 0.50), ("dr", 10485760): (0.28, 0.35),
    ("nat", 65536): (0.40, 0.50), ("nat", 1048576): (0.32, 0.40), ("nat", 10485760): (0.22, 0.28),
    ("dr6", 65536): (0.40, 0.50), ("dr6", 1048576): (0.28, 0.35), ("dr6", 10485760): (0.18, 0.22),
    ("ipip", 65536): (0.40, 0.50), ("ipip", 1048576): (0.32, 0.40),
    ("ipip", 10485760): (0.22, 0.28),
    ("udp-o-maglev", 65536): (None, 0.60), ("udp-o-mh", 65536): (None, 0.42),
}
MACSWAP_TO_TESTPMD = 0.85
CONNECTIONS = (2.5e6, 4e6)            # new ones a second, with 10 million alive
LIVE_IN_FLOOD = 0.5                   # of their rate without a flood
FLOOD_ALONE = 0.055                   # of macswap; not of what begins sessions
LIVE_BESIDE_FLOOD = {100: 0.85, 20: 0.60}  # of their rate alone, beside one packet in so many
TO_FAIR_SHARE = 0.9                   # beside as many: of t/(t+f), by the costs of both alone
# A session, index included; the goal is for sessions without NAT.
BYTES = {"IPv4": (128, 96), "IPv6": (192, None)}
LOOP_MICROSECONDS = {"idle": 20, "publishing": 50, "dumping": 50}
BUILD_MILLISECONDS = 5                # of a 65537-slot table of 1000 servers
HOP_NANOSECONDS = 60


class Verdicts:
    """Whether what was wanted is reached, collected for the end."""

    def __init__(self):
        self.rows = []

    def at_least(self, what, measured, floor, goal=None):
        return self._add(what, measured, floor, goal, lambda wanted: measured >= wanted)

    def at_most(self, what, measured, floor, goal=None):
        return self._add(what, measured, floor, goal, lambda wanted: measured <= wanted)

    def _add(self, what, measured, floor, goal, holds):
        row = {"what": what, "measured": measured, "floor": floor, "goal": goal,
               "holds": floor is None or holds(floor),
               "goal_reached": None if goal is None else holds(goal)}
        self.rows.append(row)
        if not row["holds"]:
            return f"MISSED, wanted {floor:g}"
        if goal is None:
            return f"holds ({floor:g})"
        return f"goal {goal:g} reached" if row["goal_reached"] else f"goal {goal:g} missed"

    def missed(self):
        return [row for row in self.rows if not row["holds"]]
