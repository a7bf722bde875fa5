"""Which servers IPVS remembers a route to that was found for a session that is not directly routed.

IPVS finds the way to a server once, with the first packet after an -a or -e of it, for all its
sessions. Only a directly routed one asks for a way with the server as next hop: what another one
found leads to whatever address the packet has, which is the virtual one if the next session is
directly routed (__ip_vs_get_out_rt, FLOWI_FLAG_KNOWN_NH). The frames tell who was first, as far as
they tell which server they belong to.
"""

import packet
import world

NONE, NEAR, OTHER = "none", "near", "other"  # nothing remembered; found for direct routing, for another
LETTERS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp"}


class Remembered:
    def __init__(self, scenario):
        self._flows = scenario["flows"]
        self._ways = {}  # (service, address, port) of a server -> what may be remembered, a set
        for rule in scenario["rules"]:
            self.edit(rule)

    def edit(self, command):
        words = command.split()
        if words[0] not in ("-a", "-e"):
            return
        service = words[1], words[2], "-6" in words[:5]
        address, _, port = words[words.index("-r") + 1].rpartition(":")
        self._ways[service, address.strip("[]"), int(port)] = {NONE}

    def packet(self, step, did):
        """What a client sent, and what came of it."""
        if step.get("side", "c") != "c" or "flow" not in step or "in" not in did:
            return
        mine = self._of(step["flow"])
        for wire, text in did["out"]:
            if wire == "c":  # the director answered, perhaps after it had looked for a way
                self._found({k for k in mine if NONE in self._ways[k]}, OTHER, False)
                continue
            fields = packet.dissect(bytes.fromhex(text))
            there = {k for k in mine if world.mac_of(k[1]) == fields["eth.destination"]}
            is_near = fields.get("ip6.destination", fields.get("ip.destination")) == self._flows[step["flow"]][3]
            self._found(there, NEAR if is_near else OTHER, len(there) == 1)

    def _found(self, keys, way, is_sure):
        for key in keys:
            if NONE in self._ways[key]:
                self._ways[key] = {way} if is_sure else self._ways[key] | {way}

    def may_mislead(self, step, mac):
        """May a directly routed packet to the server with this MAC address have been lost?"""
        return any(OTHER in self._ways[k] for k in self._of(step["flow"]) if world.mac_of(k[1]) == mac)

    def _of(self, flow):
        """The servers of all services that the flow may fall under."""
        protocol, _, _, vip, port = self._flows[flow]
        six = world.family_of(vip) == 6
        out = set()
        for key in self._ways:
            kind, name, is_six = key[0]
            if kind == "-f":
                found = is_six == six and world.address(6 if six else 4, "vip", int(name)) == vip
            else:
                ends = [world.endpoint(vip, p) for p in (port, 0)]
                found = LETTERS[kind] == protocol and name in ends
            if found:
                out.add(key)
        return out
