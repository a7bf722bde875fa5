"""The two sides of one scenario, compared: every packet, then the listings, states and counters.

A Difference says in words what differs, and in fields what deviations.py needs to know it again.
"""

import re
from dataclasses import dataclass, field

import packet
import remembered
import world

# Linux picks these at random for the ICMP errors it makes itself.
RANDOM_IN_GENERATED = {"ip.id", "ip.checksum", "ip6.flow_label"}
RANDOM = {"ip6.fragment_id"}
EXPIRY = 2  # seconds by which two sessions of the same age may differ
COUNTERS = ("connections", "in_packets", "out_packets", "in_bytes", "out_bytes")


@dataclass
class Difference:
    kind: str  # refused, lane, frame, listing, connection, counter, save
    text: str
    step: int = -1  # of the scenario; -1: at its end
    facts: dict = field(default_factory=dict)

    def __str__(self):
        where = f"step {self.step + 1}: " if self.step >= 0 else ""
        return f"{self.kind}: {where}{self.text}"


def compare(scenario, real, ours):
    """The list of Differences."""
    out = _refusals(scenario, real)
    if "failed" in ours:
        return [*out, Difference("refused", f"IPVS goes on, shunt-replay: {ours['failed']}")]
    ways = remembered.Remembered(scenario)
    for index, (step, theirs, mine) in enumerate(zip(scenario["steps"], real["steps"], ours["steps"])):
        if step["kind"] == "edit":
            ways.edit(step["command"])
        if "in" in theirs:
            found = _packets(index, theirs, mine)
            for difference in found:
                macs = {frame[:6].hex(":") for frame in difference.facts["got"]}
                difference.facts["misled"] = any(ways.may_mislead(step, mac) for mac in macs)
            out += found
            ways.packet(step, theirs)
        elif "listing" in theirs:
            out += _listings(index, step["words"], theirs["listing"], mine["listing"], _own_errors(real, index))
    out += _accounting(ours["json"])
    last = {"list": "-L -n", "connections": "-L -n -c", "save": "-S -n", "stats": "-L -n --stats --exact"}
    for name, words in last.items():
        if name in real:
            out += _listings(-1, words, real[name], ours[name], _own_errors(real))
    if ours["timeouts"] != f"Timeout (tcp tcpfin udp): {real['timeouts']}\n":
        out.append(Difference("listing", f"timeouts {real['timeouts']} with IPVS, {ours['timeouts']!r} with Shunt"))
    return out


def _listings(index, words, wanted, got, own_errors):
    """Two listings, made with the same words."""
    if wanted == got:
        return []
    if words.startswith("-S"):
        out = _saved(sorted_save(wanted), sorted_save(got))
    elif "-c" in words.split():
        out = _connections(connections(wanted), connections(got))
        if len(wanted.splitlines()) == len(got.splitlines()):
            return _at(index, out)  # the order is of a hash table
    elif "--stats" in words:
        out = _counters(counters(wanted), counters(got), own_errors)
    else:
        out = _rows("listing", listing(wanted), listing(got))
    # The same rows, but other text: heads, blanks, order.
    return _at(index, out or [Difference("listing", f"{words}: other text: {wanted!r} and {got!r}")])


def _at(index, differences):
    for difference in differences:
        difference.step = index
    return differences


def _saved(wanted, got):
    lines = [f"- {x}" for x in wanted if x not in got] + [f"+ {x}" for x in got if x not in wanted]
    facts = {"wanted": wanted, "got": got}
    return [Difference("save", "; ".join(lines) or "the order of lines", -1, facts)] if wanted != got else []


def _refusals(scenario, real):
    out = []
    if real["rules"]:
        out.append(Difference("refused", f"IPVS refuses the rules: {real['rules'].strip()}"))
    for index, (step, did) in enumerate(zip(scenario["steps"], real["steps"])):
        if step["kind"] == "edit" and did["edit"]:
            out.append(Difference("refused", f"IPVS refuses {step['command']}: {did['edit'].strip()}", index))
    return out


# ---- packets


def lane_of(theirs):
    """What became of a packet on the real side: local, routed, nothing or out."""
    if theirs["local"]:
        return "local"
    if theirs["wire"] == "s" and len(theirs["out"]) == 1:
        # Linux forwards what no session knows: the same packet, one hop further.
        sent, came = bytes.fromhex(theirs["in"]), bytes.fromhex(theirs["out"][0][1])
        if theirs["out"][0][0] == "c" and _hop_less(sent) == came[14:]:
            return "routed"
    if theirs["wire"] == "s" and _is_routed_fragment(theirs):
        return "routed"
    return "out" if theirs["out"] else "nothing"


def _is_routed_fragment(theirs):
    """Has Linux forwarded the packet of which this was the last fragment to come?"""
    sent = packet.dissect(bytes.fromhex(theirs["in"]))
    came = [packet.dissect(bytes.fromhex(frame)) for wire, frame in theirs["out"] if wire == "c"]
    ends = ("ip.source", "ip.destination", "ip6.source", "ip6.destination")
    whole = bool(came) and len(came) == len(theirs["out"]) and _is_fragment(sent)
    return whole and all(x.get(end) == sent.get(end) for x in came for end in ends)


def _hop_less(frame):
    """The packet in the frame after one more router."""
    data = bytearray(frame[14:])
    if data[0] >> 4 == 6:
        data[7] -= 1
        return bytes(data)
    data[8] -= 1
    data[10:12] = b"\0\0"
    data[10:12] = packet.checksum(bytes(data[: (data[0] & 15) * 4])).to_bytes(2, "big")
    return bytes(data)


def _is_fragment(fields):
    four = fields.get("ip.flags", "000")[2] == "1" or fields.get("ip.fragment_offset", 0) > 0
    return four or "ip6.fragment_id" in fields


def _packets(index, theirs, mine):
    lane = lane_of(theirs)
    sent = bytes.fromhex(theirs["in"])
    about = packet.summary(sent)
    facts = {"lane": lane, "in": packet.dissect(sent), "side": theirs["wire"]}
    wanted = [bytes.fromhex(frame) for _, frame in theirs["out"]] if lane == "out" else []
    got = [bytes.fromhex(frame) for frame in mine["out"]]
    facts |= {"wanted": wanted, "got": got, "kernel": len(mine["kernel"])}

    def say(sentence):
        return [Difference("lane", f"{about}: {sentence}", index, facts)]

    def names(frames):
        return ", ".join(packet.summary(f) for f in frames) or "nothing"

    if lane in ("local", "routed"):
        words = "is the local stack's" if lane == "local" else "is routed by Linux, not by IPVS"
        if _is_fragment(facts["in"]):  # with the others of its packet, once all have come
            return say(f"{words}, Shunt sends {names(got)}") if got else []
        if got or len(mine["kernel"]) != 1:
            return say(f"{words}, Shunt sends {names(got)} and {len(mine['kernel'])} to the kernel")
        if not _is_same_inside(sent, bytes.fromhex(mine["kernel"][0]), theirs["local"]):
            return say("goes to the kernel other than IPVS hands it over")
        return []
    if mine["kernel"] and facts["in"].get("icmp.checksum_valid") is False and not wanted:
        return []  # Linux drops it, too
    if mine["kernel"] and _is_fragment(facts["in"]) and not wanted and not got:
        return []  # Linux waits for the others of its packet
    if mine["kernel"]:
        return say(f"IPVS sends {names(wanted)}, Shunt leaves it to the kernel")
    if len(wanted) != len(got):
        return say(f"IPVS sends {names(wanted)}, Shunt {names(got)}")
    out = []
    for a, b in zip(wanted, got):
        wrong = _fields(a, b)
        if wrong:
            text = f"{about}: " + "; ".join(wrong.values())
            out.append(Difference("frame", text, index, {**facts, "fields": list(wrong)}))
    return out


def _is_same_inside(sent, got, copies):
    """Has the local stack got what Shunt gives the kernel? That is what was sent, or, for a server that
    is the director, has other addresses and ports."""
    if got == sent or not copies:
        return got == sent
    copy = bytes.fromhex(copies[0])
    inside = got[14 if got[12:14] == b"\x08\0" else 54 :][: len(copy)]
    if got[12:14] == b"\x86\xdd" and got[20] == 58:  # IPVS leaves the rest of the checksum to a NIC
        copy, inside = copy[:2] + copy[4:], inside[:2] + inside[4:]
    return got[:14] == sent[:14] and inside == copy and len(got) == len(sent)


# Of a tunnel's outer packet: a hash of the flow, and a count from a random number.
RANDOM_IN_TUNNELS = {"udp.source_port", "udp.checksum"}
RANDOM_WITHOUT_DF = {"ip.id", "ip.checksum"}


def _random_in(fields):
    """What is random in a frame that left the director."""
    if fields.get("ip6.source", fields.get("ip.source")) not in world.OWN.values():
        return set()
    if fields.get("ip.flags") == "010":
        return RANDOM_IN_TUNNELS
    return RANDOM_IN_TUNNELS | RANDOM_WITHOUT_DF


def _fields(wanted, got):
    """{field: sentence} of those in which two frames differ."""
    if wanted == got:
        return {}
    a, b = packet.dissect(wanted), packet.dissect(got)
    generated = any(key.startswith("inner.") for key in a) and a.get("ip.source") == b.get("ip.source")
    out, random = {}, RANDOM | _random_in(b)
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) == b.get(name) or name in random or generated and name in RANDOM_IN_GENERATED:
            continue
        values = [str(x.get(name, "absent"))[:60] for x in (a, b)]
        out[name] = f"{name} is {values[0]} with IPVS, {values[1]} with Shunt"
    return out


def _accounting(result):
    came = result["packets_in"] + result["generated"]
    went = sum(result[k] for k in ("packets_out", "packets_kernel", "absorbed", "held_at_end"))
    went += sum(result["dropped"].values())
    out = []
    if came != went:
        out.append(Difference("counter", f"{came} packets came or were made, {went} are accounted for"))
    if result["buffers_leaked"]:
        out.append(Difference("counter", f"{result['buffers_leaked']} packet buffers are lost"))
    return out


# ---- listings: {row: value}


def listing(text):
    """ipvsadm -L -n: {service: flags}, {(service, server): method, weight, active, inactive}."""
    rows, service = {}, None
    for line in text.splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            rows[(service, words[1])] = " ".join(words[2:])
        else:
            name = 3 if words[2:3] == ["IPv6"] else 2  # of a mark service
            service = " ".join(words[:name])
            rows[(service, "")] = " ".join(words[name:])
    return rows


def counters(text):
    """ipvsadm -L -n --stats --exact: {(service, server or ""): five numbers}."""
    rows, service = {}, None
    for line in text.splitlines()[3:]:
        words = line.split()
        if words[0] != "->":
            service = " ".join(words[: -len(COUNTERS)])
        name = (service, words[1] if words[0] == "->" else "")
        rows[name] = dict(zip(COUNTERS, map(int, words[-len(COUNTERS) :])))
    return rows


def connections(text):
    """ipvsadm -L -n -c: {(protocol, client, virtual, server): (state, seconds left)}. Templates
    have port 0."""
    rows = {}
    for line in sorted(text.splitlines()[2:]):  # some have one name: by their time then
        protocol, expires, state, client, virtual, server = line.split()[:6]
        minutes, seconds = expires.split(":")
        name = (protocol, client, virtual, server)
        while name in rows:
            name += ("again",)
        rows[name] = state, int(minutes) * 60 + int(seconds)
    return rows


def _connections(wanted, got):
    states = [{name: state for name, (state, _) in rows.items()} for rows in (wanted, got)]
    out = _rows("connection", *states)
    for name in wanted.keys() & got.keys():
        a, b = wanted[name][1], got[name][1]
        if abs(a - b) > EXPIRY:
            text = f"{' '.join(name)}: ends in {a} s with IPVS, {b} s with Shunt"
            out.append(Difference("connection", text, -1, {"row": name, "wanted": a, "got": b}))
    return out


def sorted_save(text):
    """Lines of ipvsadm -S without trailing blanks, in their order."""
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]


def _own_errors(real, until=None):
    """What the ICMP errors that the director itself sent before a step were about: a list of
    (protocol, virtual address, port), None where a field is not known."""
    about = []
    for did in real["steps"][:until]:
        if "in" not in did:
            continue
        for wire, text in did["out"]:
            frame = bytes.fromhex(text)
            v6 = frame[12:14] == b"\x86\xdd"
            kind = frame[54] if v6 and frame[20] == 58 else frame[34] if not v6 and frame[23] == 1 else 0
            if wire == "c" and did["wire"] == "s":
                if packet.dissect(bytes.fromhex(did["in"])).get("ip.destination") in world.OWN.values():
                    about += [_quoted(packet.dissect(frame))] * 2  # a router in a tunnel said so
            elif wire == "c" and kind in ((1, 2, 3, 4) if v6 else (3, 11, 12)):
                sent = packet.dissect(bytes.fromhex(did["in"]))
                address = sent.get("ip6.destination", sent.get("ip.destination"))
                known = [p for p in ("tcp", "udp", "sctp") if f"{p}.destination_port" in sent]
                protocol = known[0] if known else None
                about.append((protocol, address, sent.get(f"{protocol}.destination_port")))
    return about


def _quoted(error):
    """(protocol, virtual address, port) of the request that an ICMP error quotes."""
    known = [p for p in ("tcp", "udp", "sctp") if f"inner.{p}.destination_port" in error]
    protocol = known[0] if known else None
    return protocol, error.get("inner.ip.destination"), error.get(f"inner.{protocol}.destination_port")


def _is_about(service, error):
    """May the error be about a session of the service of this row?"""
    protocol, address, port = error
    name, place, *family = service.split()
    if name == "FWM":
        return address == world.address(6 if family else 4, "vip", int(place))
    if protocol is not None and protocol.upper() != name:
        return False
    return any(place == world.endpoint(address, p) for p in ([port, 0] if protocol else (*world.SERVICE_PORTS, world.ISAKMP_PORT, 0)))


def _counters(wanted, got, own_errors):
    out = []
    for name in dict.fromkeys([*wanted, *got]):
        a, b = wanted.get(name, {}), got.get(name, {})
        columns = [c for c in COUNTERS if a.get(c) != b.get(c)]
        if columns:
            parts = [f"{c} {a.get(c)} with IPVS, {b.get(c)} with Shunt" for c in columns]
            text = f"{' '.join(n for n in name if n)}: " + "; ".join(parts)
            errors = sum(_is_about(name[0], error) for error in own_errors)
            facts = {"row": name, "wanted": a, "got": b, "columns": columns, "own_errors": errors}
            out.append(Difference("counter", text, -1, facts))
    return out


def _rows(kind, wanted, got):
    out = []
    for name in dict.fromkeys([*wanted, *got]):
        a, b = wanted.get(name), got.get(name)
        if a != b:
            text = " ".join(n for n in name if n)
            says = f"{text}: {'absent' if a is None else a} with IPVS, {'absent' if b is None else b} with Shunt"
            out.append(Difference(kind, says, -1, {"row": name, "wanted": a, "got": b}))
    return out
