"""Frames in Python: a dissector that leaves no bit unnamed, and builders.

Written apart from the C++ code on purpose (see pcap.py). dissect() gives every bit of a frame to
a named field, so that two frames are equal exactly if their fields are; test_tools.py proves it
by flipping every bit of sample frames. Sources: RFC 791, 8200, 9293, 768, 9260, 792,
4443.
"""

import ipaddress
import struct

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
EXTENSIONS = {0: "hop-by-hop", 43: "routing", 44: "fragment", 60: "destination", 51: "ah"}


def ones_sum(data):
    """The ones' complement sum of 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    """The internet checksum of data whose checksum field is zero."""
    return ~ones_sum(data) & 0xFFFF


def crc32c(data):
    """RFC 9260 appendix A, a bit at a time; as the four bytes that are sent."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def sctp_sum(packet):
    """The checksum of an SCTP packet, whatever stands in its field."""
    return crc32c(packet[:8] + bytes(4) + packet[12:])


def pack_address(text):
    return ipaddress.ip_address(text).packed


def address_text(packed):
    return str(ipaddress.ip_address(packed))


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def pseudo_header(source, destination, protocol, length):
    """Of packed addresses (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    if len(source) == 16:
        return source + destination + struct.pack("!IHBB", length, 0, 0, protocol)
    return source + destination + struct.pack("!BBH", 0, protocol, length)


# ---- builders ----------------------------------------------------------------------------------


def ethernet(destination, source, payload, kind=None):
    """A frame; kind is taken from the IP version of the payload unless given."""
    if kind is None:
        kind = 0x86DD if payload[0] >> 4 == 6 else 0x0800
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def ip(source, destination, protocol, payload, ttl=64, tos=0, ident=0x1234, df=True, **only_v4):
    """An IP packet of the addresses' family. only_v4: offset (bytes), more, options, bad_sum,
    total (a length that may lie); for IPv6 only total (its payload length)."""
    s, d = pack_address(source), pack_address(destination)
    if len(s) == 16:
        length = only_v4.get("total", len(payload))
        return struct.pack("!IHBB", 6 << 28 | tos << 20, length, protocol, ttl) + s + d + payload
    options = only_v4.get("options", b"")
    words = 5 + len(options) // 4
    total = only_v4.get("total", words * 4 + len(payload))
    fragment = (0x4000 if df else 0) | (0x2000 if only_v4.get("more") else 0)
    fragment |= only_v4.get("offset", 0) // 8
    first = struct.pack("!BBHHHBB", 0x40 | words, tos, total, ident, fragment, ttl, protocol)
    header = first + b"\0\0" + s + d + options
    value = checksum(header) ^ (0x0101 if only_v4.get("bad_sum") else 0)
    return first + struct.pack("!H", value) + s + d + options + payload


def with_hop_by_hop(whole, options):
    """An IPv6 packet with a header of hop-by-hop options: so many bytes that, with the two before
    them, there are whole units of 8."""
    header = bytes([whole[6], (len(options) + 2) // 8 - 1]) + options
    length = struct.unpack("!H", whole[4:6])[0] + len(header)
    return whole[:4] + struct.pack("!H", length) + b"\0" + whole[7:40] + header + whole[40:]


def tcp_segment(source, sport, destination, dport, flags, data=b"", seq=1000, ack=0, bad_sum=False, tcp_options=b""):
    """tcp_options: whole words."""
    bits = sum({"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK}[c] for c in flags)
    s, d = pack_address(source), pack_address(destination)
    words = 0x50 + 4 * len(tcp_options)
    head = struct.pack("!HHIIBBH", sport, dport, seq & 0xFFFFFFFF, ack, words, bits, 65535)
    whole = head + b"\0\0\0\0" + tcp_options + data
    value = checksum(pseudo_header(s, d, TCP, len(whole)) + whole) ^ (1 if bad_sum else 0)
    return head + struct.pack("!HH", value, 0) + tcp_options + data


def udp_datagram(source, sport, destination, dport, data=b"x", no_sum=False):
    s, d = pack_address(source), pack_address(destination)
    head = struct.pack("!HHH", sport, dport, 8 + len(data))
    whole = head + b"\0\0" + data
    value = checksum(pseudo_header(s, d, UDP, len(whole)) + whole) or 0xFFFF
    return head + struct.pack("!H", 0 if no_sum else value) + data


def cut(packet, *sizes):
    """The fragments of a packet: of so many bytes, multiples of 8, and what is left. Under IPv6 the
    fragment header follows the IPv6 header."""
    six = packet[0] >> 4 == 6
    size = 40 if six else (packet[0] & 15) * 4
    head, body, out, at = packet[:size], packet[size:], [], 0
    for n in (*sizes, len(body)):
        part, more = body[at : at + n], at + n < len(body)
        if part and six:
            extra = struct.pack("!BBHI", head[6], 0, at | more, 0x42420000 | len(body))
            length = struct.pack("!HB", 8 + len(part), 44)
            out.append(head[:4] + length + head[7:] + extra + part)
        elif part:
            field = struct.unpack_from("!H", head, 6)[0] & 0x4000 | 0x2000 * more | at // 8
            new = head[:2] + struct.pack("!H", size + len(part)) + head[4:6]
            new += struct.pack("!H", field) + head[8:10] + b"\0\0" + head[12:]
            out.append(new[:10] + struct.pack("!H", checksum(new)) + new[12:] + part)
        at += n
    return out


def tcp(source, sport, destination, dport, flags="S", data=b"", seq=1000, ack=0, **options):
    bad, more = options.pop("bad_tcp", False), options.pop("tcp_options", b"")
    segment = tcp_segment(source, sport, destination, dport, flags, data, seq, ack, bad, more)
    return ip(source, destination, TCP, segment, **options)


def udp(source, sport, destination, dport, data=b"x", no_sum=False, **options):
    datagram = udp_datagram(source, sport, destination, dport, data, no_sum)
    return ip(source, destination, UDP, datagram, **options)


def chunk(kind, value=b"", length=None):
    """One of SCTP's, padded; length may lie."""
    told = 4 + len(value) if length is None else length
    return struct.pack("!BBH", kind, 0, told) + value + bytes(-len(value) % 4)


def sctp(source, sport, destination, dport, chunks, bad_sctp=False, cut=None, **options):
    """cut: how many bytes of the SCTP packet are left."""
    packet = struct.pack("!HHII", sport, dport, 7, 0) + chunks
    value = sctp_sum(packet)
    if bad_sctp:
        value = bytes([value[0] ^ 1]) + value[1:]
    return ip(source, destination, SCTP, (packet[:8] + value + packet[12:])[:cut], **options)


def icmp(source, destination, kind, code, rest=b"\0" * 4, body=b"", **options):
    """ICMP or ICMPv6 by the addresses' family; rest: the four bytes after the checksum."""
    s, d = pack_address(source), pack_address(destination)
    message = struct.pack("!BBH", kind, code, 0) + rest + body
    protocol, pseudo = ICMP, b""
    if len(s) == 16:
        protocol, pseudo = ICMP6, pseudo_header(s, d, ICMP6, len(message))
    value = checksum(pseudo + message)
    message = message[:2] + struct.pack("!H", value) + message[4:]
    return ip(source, destination, protocol, message, **options)


# ---- the dissector -----------------------------------------------------------------------------


def dissect(frame):
    """Ordered {field: value} that covers every bit of the frame."""
    out = {}
    if len(frame) < 14:
        out["frame.short"] = frame.hex()
        return out
    out["eth.destination"] = frame[:6].hex(":")
    out["eth.source"] = frame[6:12].hex(":")
    (kind,) = struct.unpack_from("!H", frame, 12)
    out["eth.type"] = f"{kind:04x}"
    rest = frame[14:]
    if kind == 0x0800:
        _ipv4(rest, out, "")
    elif kind == 0x86DD:
        _ipv6(rest, out, "")
    else:
        out["payload"] = rest.hex()
    return out


def _ipv4(data, out, at):
    """Names the bits of an IPv4 packet; `at` prefixes the names ("inner." in ICMP errors)."""
    if len(data) < 20 or data[0] >> 4 != 4 or (data[0] & 15) < 5 or len(data) < (data[0] & 15) * 4:
        out[at + "ip.unreadable"] = data.hex()
        return
    size = (data[0] & 15) * 4
    tos, total, ident, fragment, ttl, protocol, value = struct.unpack_from("!BHHHBBH", data, 1)
    out[at + "ip.version_and_length"] = f"{data[0]:02x}"
    out[at + "ip.tos"] = f"{tos:02x}"
    out[at + "ip.total_length"] = total
    out[at + "ip.id"] = f"{ident:04x}"
    out[at + "ip.flags"] = f"{fragment >> 13:03b}"
    out[at + "ip.fragment_offset"] = (fragment & 0x1FFF) * 8
    out[at + "ip.ttl"] = ttl
    out[at + "ip.protocol"] = protocol
    out[at + "ip.checksum"] = f"{value:04x}"
    out[at + "ip.checksum_valid"] = ones_sum(data[:size]) == 0xFFFF
    out[at + "ip.source"] = address_text(data[12:16])
    out[at + "ip.destination"] = address_text(data[16:20])
    if size > 20:
        out[at + "ip.options"] = data[20:size].hex()
    end = min(max(total, size), len(data))
    whole = total <= len(data) and not fragment & 0x3FFF
    if fragment & 0x1FFF:
        out[at + "ip.fragment_data"] = data[size:end].hex()
    else:
        _transport(protocol, data[12:16], data[16:20], data[size:end], out, at, whole)
    if data[end:]:
        out[at + "trailer"] = data[end:].hex()


def _ipv6(data, out, at):
    if len(data) < 40 or data[0] >> 4 != 6:
        out[at + "ip6.unreadable"] = data.hex()
        return
    word, length, following, hops = struct.unpack_from("!IHBB", data)
    out[at + "ip6.version"] = 6
    out[at + "ip6.traffic_class"] = f"{word >> 20 & 0xFF:02x}"
    out[at + "ip6.flow_label"] = f"{word & 0xFFFFF:05x}"
    out[at + "ip6.payload_length"] = length
    out[at + "ip6.next_header"] = following
    out[at + "ip6.hop_limit"] = hops
    out[at + "ip6.source"] = address_text(data[8:24])
    out[at + "ip6.destination"] = address_text(data[24:40])
    end = min(40 + length, len(data))
    body, whole, number = data[40:end], 40 + length <= len(data), 0
    while following in EXTENSIONS and len(body) >= 8:
        size = 8 if following == 44 else (body[1] + 2) * 4 if following == 51 else (body[1] + 1) * 8
        if size > len(body):
            break
        number += 1
        out[f"{at}ip6.extension{number}"] = f"{EXTENSIONS[following]} {body[:size].hex()}"
        if following == 44:
            whole = False
            out[f"{at}ip6.extension{number}"] = f"fragment {body[:4].hex()}"
            out[at + "ip6.fragment_id"] = body[4:8].hex()
            if struct.unpack_from("!H", body, 2)[0] & 0xFFF8:
                following, body = None, body[size:]
                break
        following, body = body[0], body[size:]
    if following is None:
        out[at + "ip6.fragment_data"] = body.hex()
    else:
        _transport(following, data[8:24], data[24:40], body, out, at, whole)
    if data[end:]:
        out[at + "trailer"] = data[end:].hex()


def _transport(protocol, source, destination, data, out, at, whole):
    def valid(pseudo=True):
        head = pseudo_header(source, destination, protocol, len(data)) if pseudo else b""
        return ones_sum(head + data) == 0xFFFF

    if protocol == TCP and len(data) >= 20:
        sport, dport, seq, ack, offset, bits, window, value, urgent = struct.unpack_from(
            "!HHIIBBHHH", data
        )
        out[at + "tcp.source_port"], out[at + "tcp.destination_port"] = sport, dport
        out[at + "tcp.sequence"], out[at + "tcp.acknowledgement"] = seq, ack
        out[at + "tcp.offset"] = f"{offset:02x}"
        out[at + "tcp.flags"] = "".join(c for i, c in enumerate("FSRPAUEC") if bits >> i & 1)
        out[at + "tcp.window"], out[at + "tcp.urgent"] = window, urgent
        out[at + "tcp.checksum"] = f"{value:04x}"
        if whole:
            out[at + "tcp.checksum_valid"] = valid()
        out[at + "tcp.options_and_data"] = data[20:].hex()
    elif protocol == UDP and len(data) >= 8:
        sport, dport, length, value = struct.unpack_from("!HHHH", data)
        out[at + "udp.source_port"], out[at + "udp.destination_port"] = sport, dport
        out[at + "udp.length"] = length
        out[at + "udp.checksum"] = f"{value:04x}"
        if whole:
            out[at + "udp.checksum_valid"] = "none" if value == 0 else valid()
        out[at + "udp.data"] = data[8:].hex()
    elif protocol == SCTP and len(data) >= 12:
        sport, dport, tag = struct.unpack_from("!HHI", data)
        out[at + "sctp.source_port"], out[at + "sctp.destination_port"] = sport, dport
        out[at + "sctp.tag"] = f"{tag:08x}"
        out[at + "sctp.checksum"] = data[8:12].hex()
        if whole:
            out[at + "sctp.checksum_valid"] = data[8:12] == sctp_sum(data)
        out[at + "sctp.chunks"] = data[12:].hex()
    elif protocol in (ICMP, ICMP6) and len(data) >= 8:
        kind, code, value = struct.unpack_from("!BBH", data)
        out[at + "icmp.type"], out[at + "icmp.code"] = kind, code
        out[at + "icmp.checksum"] = f"{value:04x}"
        if whole:
            out[at + "icmp.checksum_valid"] = valid(protocol == ICMP6)
        out[at + "icmp.rest"] = data[4:8].hex()
        if protocol == ICMP and kind in (3, 4, 5, 11, 12):
            _ipv4(data[8:], out, at + "inner.")
        elif protocol == ICMP6 and kind < 128:
            _ipv6(data[8:], out, at + "inner.")
        else:
            out[at + "icmp.data"] = data[8:].hex()
    else:
        out[at + "ip.payload"] = data.hex()


def summary(frame):
    """A frame in one line, for people."""
    f = dissect(frame)
    if "ip.source" in f:
        ends, hops = (f["ip.source"], f["ip.destination"]), f"ttl {f['ip.ttl']}"
    elif "ip6.source" in f:
        ends, hops = (f["ip6.source"], f["ip6.destination"]), f"hops {f['ip6.hop_limit']}"
    else:
        return f"{len(frame)} bytes, ethertype {f.get('eth.type', 'none')}"
    for name in "tcp", "udp", "sctp":
        if name + ".source_port" in f:
            ports = f[name + ".source_port"], f[name + ".destination_port"]
            text = f"{name} {ends[0]} {ports[0]} > {ends[1]} {ports[1]}"
            return f"{text} {'[' + f['tcp.flags'] + '] ' if name == 'tcp' else ''}{hops}"
    if "icmp.type" in f:
        return f"icmp {f['icmp.type']}/{f['icmp.code']} {ends[0]} > {ends[1]} {hops}"
    return f"ip {ends[0]} > {ends[1]} {hops}, {len(frame)} bytes"
