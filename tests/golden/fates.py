"""What must become of every packet of a capture: the second opinion about shunt-replay.

The model is IPVS's as the documents of Linux and this project state it, written apart from the
C++ code. It holds for rules with one server a service, whose addresses do not occur in the capture
(so no packet is a server's answer). A packet has exactly one fate, tested in this order:

  drop short_frame        cut by the capture
  drop too_big            longer than the largest packet buffer, 65407 bytes
  drop short_frame        no Ethernet header
  kernel                  multicast or broadcast MAC; an ethertype other than IP (VLAN tags too)
  drop short_ip, ip_length, ip_checksum, extensions, short_transport
                          malformed, in ip_rcv's order; a transport header is asked for in TCP
                          (20 bytes), UDP (8) and SCTP (12) of every destination; an SCTP packet
                          that would be its session's first also needs a chunk header
  uncertain               a fragment, or a packet of a flow that fragments belong to: the model
                          does not follow them, the check then has a margin of so many packets
  drop icmp_checksum      an ICMP error of an IPv4 session with a wrong checksum
  kernel                  anything but TCP, UDP, SCTP and ICMP errors (3, 4, 11; below 128 in IPv6)
                          that quote eight bytes of TCP, UDP or SCTP, or AH or ESP; no session and (no service at its
                          destination, or it may not begin a session)
  drop martian_source     would begin a session or belong to one of a one-packet service, or is an ICMP error
                          of a session, from an address that no host sends from: 0.0.0.0, 127/8, 224/4,
                          255.255.255.255; ::, ::1, multicast
  drop bad_option, source_route
                          of a session, or would begin one; options.py tells which, and which are answered
  drop transport_checksum of a session that is helped (masqueraded, to port 21), TCP's checksum wrong
  drop hop_limit          of a session, TTL or hop limit below 2; answered by an ICMP error
  drop too_big            of a session, longer than the MTU less what a tunnel needs, and may not be
                          cut: IPv6, or DF on what is no ICMP error; answered. In a tunnel longer than
                          any IP packet: not answered
  out                     of a session; in fragments if it, or the packet around it, is longer than
                          the MTU

With one-packet scheduling every datagram is out, and no session stays. Else
a session begins with a UDP datagram, a TCP packet with SYN and without RST, or an SCTP packet whose
first chunk is INIT; not from port 20 (FTP data). It ends when its state's timeout has passed since its last packet (time never goes
back), or with such a SYN in TIME_WAIT or CLOSE, an INIT in CLOSED. An ICMP error is of the session whose packets go
against the quoted one's direction; it changes nothing. IPv6 headers: at most eight extensions.
Sources: RFC 791, 8200, 792, 4443, 1122 section 3.2.2; net/netfilter/ipvs of Linux 6.1.
"""

import struct
from dataclasses import dataclass

import options
import packet as p
import tunnels

MTU = 1500
LARGEST_FRAME = 65535 - 128  # less DPDK's headroom
LONGEST = 65535  # bytes of an IP packet
MOST_EXTENSIONS = 8
FTP_DATA, FTP = 20, 21

STATES = "NONE ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK".split()
TIMEOUT = dict(zip(STATES, (2, 900, 120, 60, 120, 120, 10, 60, 30))) | {"UDP": 300}
SCTP_TIMEOUT = {"NONE": 2, "ESTABLISHED": 900, "INIT1": 4, "REJECTED": 4}  # all others: 61
INIT, ABORT, COOKIES = 1, 6, (10, 11)
_SHORT = dict(zip("NO ES SS SR FW TW CL CW LA".split(), STATES))


def _row(text):
    return dict(zip(STATES, (_SHORT[word] for word in text.split())))


# By state, for packets of clients; the second row while no answer was seen (direct routing).
_NEXT = {
    "syn": (_row("SR ES ES SR SR SR SR SR SR"), _row("SR ES ES SR SR SR SR SR SR")),
    "fin": (_row("CL CW SS TW TW TW CL CW LA"), _row("CL FW SS TW FW TW CL CW LA")),
    "ack": (_row("ES ES SS ES FW TW CL CW CL"), _row("ES ES SS ES FW TW CL CW CL")),
    "rst": (_row("CL CL CL SR CL CL CL CL LA"), _row("CL CL CL SR CL CL CL CL LA")),
}


def next_state(state, flags, answers_seen):
    """The TCP state after a client's packet."""
    for bit, name in (p.RST, "rst"), (p.SYN, "syn"), (p.FIN, "fin"), (p.ACK, "ack"):
        if flags & bit:
            return _NEXT[name][0 if answers_seen else 1][state]
    return "CLOSE"


# Where a client's chunk leads, for the states its packets alone can reach; other chunks and states
# stay. The second table is for direct routing.
_SCTP = (
    {
        "NONE": {1: "INIT1"},
        "INIT1": {1: "INIT", 2: "C-WAIT", 8: "INIT", 10: "INIT", 14: "CLOSED"},
        "INIT": {2: "C-WAIT", 14: "CLOSED"},
        "C-WAIT": {2: "COOKIE", 6: "REJECTED"},
        "REJECTED": {1: "INIT"},
    },
    {
        "NONE": {1: "INIT1"},
        "INIT1": {1: "INIT", 2: "C-ECHOED", 8: "INIT", 10: "ESTABLISHED", 14: "CLOSED"},
        "INIT": {2: "C-ECHOED", 10: "ESTABLISHED", 14: "CLOSED"},
        "C-ECHOED": {11: "ESTABLISHED"},
        "ESTABLISHED": {7: "S-RECEIVED", 8: "CLOSED"},
        "S-RECEIVED": {14: "CLOSED"},
    },
)


def next_sctp_state(state, kind, direct):
    """The SCTP state after a client's packet whose chunk counts as `kind`."""
    return _SCTP[direct].get(state, {}).get(kind, "CLOSED" if kind == ABORT else state)


@dataclass
class Look:
    """What a frame is. kind: bad, other, fragment, flow or error."""

    kind: str
    reason: str = ""
    flow: tuple = ()  # protocol, source, port, destination, port; of an error, the quoted packet's
    ends: tuple = ()  # protocol, source and destination of fragments
    flags: int = 0
    chunk: int = -1  # the type of an SCTP packet's first chunk; -1: none
    aborted: bool = False  # ABORT follows a first chunk that lets it
    hops: int = 0
    end: int = 0  # offset behind the IP packet in the frame
    size: int = 0  # of the IP packet
    transport: int = 0  # offset of the transport header
    may_fragment: bool = False
    intact: bool = True  # of an IPv4 error, or of TCP to port 21: its checksum is right
    source: bytes = b""
    destination: bytes = b""
    options: object = None  # the options.Verdict on them


def _bad(reason):
    return Look("bad", reason)


def look(packet):
    """The Look of one pcap.Packet."""
    frame = packet.data
    if packet.cut:
        return _bad("short_frame")
    if len(frame) > LARGEST_FRAME:
        return _bad("too_big")
    if len(frame) < 14:
        return _bad("short_frame")
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    if frame[0] & 1 or ethertype not in (0x0800, 0x86DD):
        return Look("other")
    return _look_v4(frame) if ethertype == 0x0800 else _look_v6(frame)


def _look_v4(frame):
    room = len(frame) - 14
    if room < 20 or frame[14] >> 4 != 4:
        return _bad("short_ip")
    header = (frame[14] & 15) * 4
    if header < 20:
        return _bad("ip_length")
    if header > room:
        return _bad("short_ip")
    if p.ones_sum(frame[14 : 14 + header]) != 0xFFFF:
        return _bad("ip_checksum")
    total, _, fragment, hops, protocol = struct.unpack_from("!HHHBB", frame, 16)
    if total < header or total > room:
        return _bad("ip_length")
    found = Look("other", hops=hops, end=14 + total, size=total, transport=14 + header)
    found.source, found.destination = frame[26:30], frame[30:34]
    found.may_fragment = not fragment & 0x4000
    found.ends = protocol, found.source, found.destination
    found.options = options.of_ipv4(frame[34 : 14 + header])
    if fragment & 0x3FFF:
        found.kind = "fragment"
        return found
    return _look_transport(frame, found, protocol)


def _look_v6(frame):
    room = len(frame) - 14
    if room < 40 or frame[14] >> 4 != 6:
        return _bad("short_ip")
    length, protocol, hops = struct.unpack_from("!HBB", frame, 18)
    if 40 + length > room or (length == 0 and protocol == 0 and room > 40):
        return _bad("ip_length")  # no jumbograms on Ethernet
    found = Look("other", hops=hops, end=54 + length, size=40 + length)
    found.source, found.destination = frame[22:38], frame[38:54]
    walk = _walk(frame, 54, found.end, protocol)
    if walk is None:
        return _bad("extensions")
    if protocol == 0:
        found.options = options.of_hop_by_hop(frame[54 : 54 + (frame[55] + 1) * 8])
    protocol, found.transport, fragment = walk
    found.ends = protocol, found.source, found.destination
    if fragment is not None:
        found.kind = "fragment"
        return found
    return _look_transport(frame, found, protocol)


def _walk(frame, at, end, protocol):
    """Behind the extension headers: (protocol, offset, fragment's offset or None); or None."""
    number, fragment = 0, None
    while protocol in p.EXTENSIONS and not fragment:
        if number == MOST_EXTENSIONS or end - at < 8:
            return None
        size = (frame[at + 1] + 1) * 8
        if protocol == 44:
            if fragment is not None:
                return None
            size, fragment = 8, struct.unpack_from("!H", frame, at + 2)[0] & 0xFFF8
        elif protocol == 51:
            size = (frame[at + 1] + 2) * 4
        if size > end - at:
            return None
        protocol, at, number = frame[at], at + size, number + 1
    return protocol, at, fragment


def _ports(frame, at):
    return struct.unpack_from("!HH", frame, at)


def _look_transport(frame, found, protocol):
    least = {p.TCP: 20, p.UDP: 8, p.SCTP: 12}.get(protocol)
    if least is None:
        six = len(found.source) == 16
        if protocol == (p.ICMP6 if six else p.ICMP):
            _look_error(frame, found, six)
        return found
    if found.end - found.transport < least:
        return _bad("short_transport")
    sport, dport = _ports(frame, found.transport)
    found.kind = "flow"
    found.flow = protocol, found.source, sport, found.destination, dport
    found.flags = frame[found.transport + 13] if protocol == p.TCP else 0
    if protocol == p.TCP and dport == FTP:
        segment = frame[found.transport : found.end]
        pseudo = p.pseudo_header(found.source, found.destination, protocol, len(segment))
        found.intact = p.ones_sum(pseudo + segment) == 0xFFFF
    if protocol == p.SCTP:
        _look_chunks(frame[found.transport + 12 : found.end], found)
    return found


def _look_chunks(chunks, found):
    if len(chunks) < 4:
        return
    found.chunk, _, length = struct.unpack_from("!BBH", chunks)
    if found.chunk in COOKIES and length >= 4:
        second = chunks[-(-length // 4) * 4 :]
        found.aborted = len(second) >= 4 and second[0] == ABORT


def _look_error(frame, found, six):
    inner, end = found.transport + 8, found.end
    if end - inner < (40 if six else 20):
        return
    if frame[found.transport] not in (range(128) if six else (3, 4, 11)):
        return
    if frame[inner] >> 4 != (6 if six else 4):
        return
    if six:
        source, destination = frame[inner + 8 : inner + 24], frame[inner + 24 : inner + 40]
        walk = _walk(frame, inner + 40, end, frame[inner + 6])
        if walk is None or walk[2]:
            return
        protocol, at, _ = walk
    else:
        source, destination = frame[inner + 12 : inner + 16], frame[inner + 16 : inner + 20]
        protocol, at = frame[inner + 9], inner + (frame[inner] & 15) * 4
        if at - inner < 20 or at > end:
            return
    if protocol not in (p.TCP, p.UDP, p.SCTP) or end - at < 8:
        return
    sport, dport = _ports(frame, at)
    found.kind = "error"
    found.intact = six or p.ones_sum(frame[found.transport : end]) == 0xFFFF
    found.flow = protocol, source, sport, destination, dport


@dataclass
class Service:
    protocol: int
    address: bytes
    port: int
    method: str  # "-m", "-g" or "-i"
    server: bytes
    server_port: int
    one_packet: bool = False
    tunnel: tunnels.Tunnel = None

    @property
    def overhead(self):
        return self.tunnel.overhead(len(self.server) == 16) if self.tunnel else 0

    @property
    def key(self):
        return self.protocol, self.address, self.port


@dataclass
class Fate:
    """lane: out, kernel, drop or uncertain."""

    lane: str
    reason: str = ""
    answered: bool = False  # by an ICMP error, if the rate limit lets it
    fragments: int = 1  # that it leaves in
    service: Service = None
    look: Look = None


@dataclass
class Session:
    service: Service
    state: str
    deadline: int


def answerable(found):
    """May an ICMP error be sent about this packet?"""
    if found.kind == "error":
        return False
    if len(found.source) == 16:
        multicast = found.source[0] == 0xFF or found.destination[0] == 0xFF
        return found.source != bytes(16) and not multicast
    return found.source[0] not in (0, 127) and found.source[0] < 224 and found.destination[0] < 224


def _may_be_cut(found):
    return found.may_fragment or found.kind == "error" and len(found.source) == 4


def _pieces(found, service):
    """How many fragments the packet leaves in, or that around it."""
    header, extra = found.transport - 14, 0
    if service.tunnel:
        six = len(service.server) == 16
        header, extra = (40, 8) if six else (20, 0)
    return -(-(found.size + service.overhead - header) // ((MTU - header - extra) // 8 * 8))


def is_martian(address):
    """An address that Linux drops as a source before IPVS (fib_validate_source, ip6_rcv_core); and ::."""
    if len(address) == 4:
        return address in (bytes(4), b"\xff" * 4) or address[0] == 127 or address[0] >> 4 == 14
    return address in (bytes(16), bytes(15) + b"\x01") or address[0] == 0xFF


class Model:
    """Follows the packets of one capture, in order."""

    def __init__(self, services, looks):
        self.services = {s.key: s for s in services}
        self.sessions, self.now = {}, None
        # a flow that has fragments cannot be followed
        self.fragmented = {x.ends for x in looks if x.kind == "fragment"}

    def fate(self, time, found):
        self.now = time if self.now is None else max(self.now, time)
        if found.kind == "bad":
            return Fate("drop", found.reason)
        if found.kind == "fragment":
            return Fate("uncertain", look=found)
        if found.kind not in ("flow", "error"):
            return Fate("kernel")
        protocol, *ends = found.flow
        flow = (protocol, *ends) if found.kind == "flow" else (protocol, *ends[2:], *ends[:2])
        if (protocol, flow[1], flow[3]) in self.fragmented and self._service(flow):
            return Fate("uncertain", look=found)
        if is_martian(found.source) and self._is_balanced(flow, found):
            return Fate("drop", "martian_source")
        if found.options and self._is_balanced(flow, found):
            refused = Fate("drop", found.options.reason, look=found, service=self._service(flow))
            refused.answered = found.options.code >= 0 and answerable(found)
            return refused
        session = self._session(flow, found)
        if session is None:
            empty = protocol == p.SCTP and found.kind == "flow" and found.chunk < 0
            if empty and self._service(flow):
                return Fate("drop", "short_transport")
            return Fate("kernel")
        fate = Fate("out", service=session.service, look=found)
        if found.kind == "error" and found.intact is False:
            fate.lane, fate.reason = "drop", "icmp_checksum"
        elif found.kind == "flow" and not found.intact and session.service.method == "-m":
            fate.lane, fate.reason = "drop", "transport_checksum"
        elif found.hops < 2:
            fate.lane, fate.reason, fate.answered = "drop", "hop_limit", answerable(found)
        elif session.service.tunnel and found.size + session.service.overhead > LONGEST:
            fate.lane, fate.reason = "drop", "too_big"
        elif found.size + session.service.overhead > MTU and _may_be_cut(found):
            fate.fragments = _pieces(found, session.service)
        elif found.size + session.service.overhead > MTU:
            fate.lane, fate.reason, fate.answered = "drop", "too_big", answerable(found)
        return fate

    def _service(self, flow):
        return self.services.get((flow[0], flow[3], flow[4]))

    def _is_balanced(self, flow, found):
        """Is there a session for it, or would it begin one?"""
        session = self.sessions.get(flow)
        if session is not None and session.deadline > self.now:
            return True
        if found.kind == "error":
            return False
        service = self._service(flow)
        if service is None or flow[2] == FTP_DATA:
            return False
        begins = found.flags & (p.SYN | p.RST) == p.SYN or found.chunk == INIT
        return begins or flow[0] == p.UDP or service.one_packet

    def _session(self, flow, found):
        session = self.sessions.get(flow)
        if session and session.deadline <= self.now:
            session = None
        begins = found.kind == "flow" and found.flags & (p.SYN | p.RST) == p.SYN
        begins |= found.kind == "flow" and found.chunk == INIT
        if session and begins and session.state in ("TIME_WAIT", "CLOSE", "CLOSED"):
            session = None
        if found.kind == "error":
            return session
        if session is None:
            self.sessions.pop(flow, None)
            service = self._service(flow)
            if service and service.one_packet and flow[2] != FTP_DATA:
                return Session(service, "UDP", 0)  # and nothing stays
            if service is None or flow[2] == FTP_DATA or not (begins or flow[0] == p.UDP):
                return None
            state = "UDP" if flow[0] == p.UDP else "NONE"
            session = self.sessions[flow] = Session(service, state, 0)
        if flow[0] == p.TCP:
            answers_seen = session.service.method == "-m"
            session.state = next_state(session.state, found.flags, answers_seen)
        timeout = TIMEOUT.get(session.state)
        if flow[0] == p.SCTP:
            if found.chunk >= 0:
                kind = ABORT if found.aborted else found.chunk
                direct = session.service.method != "-m"
                session.state = next_sctp_state(session.state, kind, direct)
            timeout = SCTP_TIMEOUT.get(session.state, 61)
        session.deadline = self.tick() + timeout * 1_000_000_000
        return session

    def tick(self):
        """The beginning of this tick of the sessions' timers, which is 4 ms long."""
        return self.now - self.now % 4_000_000

    def living(self):
        """The sessions left: {flow: Session}."""
        return {k: s for k, s in self.sessions.items() if s.deadline > self.now}


def joined(fragments):
    """The frame whose fragments these are, in order; an empty one if they are not."""
    if fragments[0][12:14] == b"\x86\xdd":
        return _joined_v6(fragments)
    out, at, size = bytearray(fragments[0]), 0, (fragments[0][14] & 15) * 4
    for number, frame in enumerate(fragments):
        total, ident, field = struct.unpack_from("!HHH", frame, 16)
        more = number + 1 < len(fragments)
        if field & 0x3FFF != at // 8 | 0x2000 * more or p.ones_sum(frame[14 : 14 + size]) != 0xFFFF:
            return b""
        if (total, ident) != (len(frame) - 14, struct.unpack_from("!H", out, 18)[0]):
            return b""
        out += frame[14 + size :] if number else b""
        at += total - size
    struct.pack_into("!H", out, 16, len(out) - 14)
    struct.pack_into("!HHBBH", out, 18, ident, 0, out[22], out[23], 0)
    struct.pack_into("!H", out, 24, p.checksum(bytes(out[14 : 14 + size])))
    return bytes(out)


def _joined_v6(fragments):
    out, at = bytearray(fragments[0][:54]), 0
    for number, frame in enumerate(fragments):
        following, _, field, ident = struct.unpack_from("!BBHI", frame, 54)
        more = number + 1 < len(fragments)
        if frame[20] != 44 or field != at | more or struct.unpack_from("!H", frame, 18)[0] != len(frame) - 54:
            return b""
        if (following, ident) != struct.unpack_from("!BxxxI", fragments[0], 54):
            return b""
        out += frame[62:]
        at += len(frame) - 62
    struct.pack_into("!HB", out, 18, len(out) - 54, fragments[0][54])
    return bytes(out)


def forwarded(frame, fate):
    """The frame as it must leave, checksums apart: every byte but those of the IPv4 header, TCP and
    UDP checksums, which moved() judges."""
    found, service = fate.look, fate.service
    out = bytearray(frame)
    out[:6] = b"\2\0" + service.server[-4:]
    out[6:12] = p.mac_bytes("02:5b:00:00:00:01")
    six = len(found.source) == 16
    out[21 if six else 22] -= 1
    if service.method == "-m" and found.kind == "flow":
        at, size = (38, 16) if six else (30, 4)
        out[at : at + size] = service.server
        struct.pack_into("!H", out, found.transport + 2, service.server_port)
        if found.flow[0] == p.SCTP and service.server_port != found.flow[4]:
            packet = out[found.transport : found.end]
            out[found.transport + 8 : found.transport + 12] = p.sctp_sum(bytes(packet))
    return bytes(out)


def checksum_places(fate):
    """Offsets of the checksums that forwarding may change: {offset: pseudo header, or None}."""
    found, places = fate.look, {}
    if len(found.source) == 4:
        places[24] = None
    if found.kind == "flow" and found.flow[0] == p.SCTP:
        return places
    if fate.service.method == "-m" and found.kind == "flow":
        protocol = found.flow[0]
        places[found.transport + (16 if protocol == p.TCP else 6)] = protocol
    return places


def wrongness(frame, found, place, protocol, destination):
    """How far a checksum is from right, as a ones' complement number: forwarding must not change
    it (0xffff: right)."""
    if protocol is None:
        return p.ones_sum(frame[14 : found.transport])
    data = frame[found.transport : found.end]
    pseudo = p.pseudo_header(found.source, destination, protocol, len(data))
    return p.ones_sum(pseudo + data) or 0xFFFF


def moved(frame, got, fate):
    """Sentences about how `got` differs from what forwarding makes of `frame`."""
    found = fate.look
    if fate.service.tunnel:
        return tunnels.moved(frame[: found.end], got, fate)
    want, out = forwarded(frame, fate), []
    if len(got) not in (len(frame), found.end):  # padding may stay or go
        return [f"{len(got)} bytes instead of {len(frame)}"]
    want = want[: len(got)]
    places = checksum_places(fate)
    masked = [bytearray(want), bytearray(got)]
    for place, protocol in places.items():
        for side in masked:
            side[place : place + 2] = b"\0\0"
        if protocol == p.UDP and frame[place : place + 2] == b"\0\0":
            if len(found.source) == 4:
                before = 0xFFFF  # a missing checksum is made
            else:
                continue
        else:
            before = wrongness(frame, found, place, protocol, found.destination)
        after = wrongness(got, found, place, protocol, fate.service.server)
        if before != after:
            out.append(f"the checksum at byte {place} became {got[place : place + 2].hex()}")
    if found.kind == "error" and fate.service.method == "-m":
        return out  # the quoted packet is translated: not this function's matter
    if masked[0] != masked[1]:
        wrong = [i for i, (a, b) in enumerate(zip(*masked)) if a != b]
        out.append(f"bytes {wrong[:20]} differ: {p.summary(got)}")
    return out
