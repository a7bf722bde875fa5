"""Kinds of packets that Linux refuses before IPVS sees them, and such as look like them and pass:
functions (writer, service, way) for outgoing.py.
"""

import world

# Sources. Nobody answers them, and the director has no route to them: clients' packets only.
MARTIANS = {
    4: ("0.0.0.0", "127.0.0.1", "127.1.2.3", "224.0.0.5", "255.255.255.255", world.OWN[4]),
    6: ("::1", "ff02::1", "ff0e::99"),
}
ACCEPTED = {4: ("0.1.2.3", "240.1.2.3", "255.255.255.254", "169.254.9.9"), 6: ("fec0::1", "::ffff:203.0.113.1")}

# IPv4: source routes, what is malformed, what is not. Nothing that Linux would fill in, or echo in an
# error (docs/differences.md, own-options).
OPTIONS = (
    "8307040a01000900", "8307080a01000900", "8907040a01000900", "83020101", "8307030a01000900",
    "8307040a0100098307040a0100090000", "94000000", "94080000", "01010194", "0707030000000000", "0707060000000000",
    "44030500", "4408040000000000", "440809f000000000", "4408050100000000", "94030000",
    "0707080000000000", "94040001", "9e040000", "88040001",
)  # fmt: skip
# IPv6: behind the two bytes of the header of hop-by-hop options.
HOP_BY_HOP = (
    "010400000000", "000000000000", "1e0400000000", "1e0500000000", "5e0400000000", "9e0400000000", "de0400000000",
    "01009e020000", "010401000000", "01020000001e", "050200000100", "050300000000", "c20400010000", "c2040000ffff",
    "c20300010000", "310200000100", "000031020000", "070400000000", "00" * 14, "1e00" * 8 + "010400000000",
    "1e00" * 9 + "00000000", "c910" + "00" * 20,
)  # fmt: skip


def _flow(w, service, source):
    """A flow of this client that no other packets belong to."""
    flow = w._new_flow(service)
    w.flows_of[service.name].remove(flow)
    w.flows[flow][1] = source
    return flow


def sources(w, service, way):
    """First packets of clients that cannot be, and of some that can."""
    martians, accepted = MARTIANS[service.family], ACCEPTED[service.family]
    for source in (*w.rng.sample(martians, 3), w.rng.choice(accepted)):
        if source in accepted and w.is_own(service):
            continue
        flow = _flow(w, service, source)
        # Nothing but first packets: others are the local stack's, which drops them itself.
        w.send(flow, "c", **{"tcp": {"flags": "S"}, "sctp": {"chunks": [1]}}.get(service.protocol, {}))
        flow = w.flow(service)
        w.send(flow, "c")


def _with(name, choices):
    def kind(w, service, way):
        """In first packets, in later ones, in answers."""
        for chosen in w.rng.sample(choices, 3):
            first = w._new_flow(service)
            begin = {"tcp": {"flags": "S"}, "sctp": {"chunks": [1]}}.get(service.protocol, {})
            w.send(first, "c", **begin, **{name: chosen})
            flow = w.flow(service)
            w.send(flow, "c", **{name: chosen})
            if way == "masq":
                w.send(flow, "s", **{name: chosen})

    return kind


KINDS = {"sources": sources, "bad-options": _with("options", OPTIONS), "hop-by-hop": _with("hop_by_hop", HOP_BY_HOP)}
FAMILIES = {"sources": (4, 6), "bad-options": (4,), "hop-by-hop": (6,)}
