"""What becomes of a packet by its options: the second opinion about lib/net/options.cc.

IPv4 options as RFC 791 and 1108 have them and Linux checks them (__ip_options_compile), hop-by-hop options as
RFC 8200 section 4.2 and ip6_parse_tlv() do.
"""

from dataclasses import dataclass

RECORD, TIMESTAMP, LOOSE, CIPSO, STRICT, ALERT = 7, 68, 131, 134, 137, 148
MOST_OPTIONS, MOST_PADDING = 8, 7


@dataclass
class Verdict:
    reason: str = "bad_option"
    code: int = -1  # of the ICMP parameter problem that answers it; -1: none


SILENT, ANSWERED = Verdict(), Verdict(code=0)


def of_ipv4(options):
    """None, or the Verdict on the bytes behind the first 20 of a header."""
    at, seen = 0, set()
    while at < len(options) and options[at] != 0:
        kind = options[at]
        if kind == 1:
            at += 1
            continue
        if len(options) - at < 2 or options[at + 1] < 2 or options[at + 1] > len(options) - at:
            return ANSWERED
        option = options[at : at + options[at + 1]]
        once = "route" if kind in (LOOSE, STRICT) else kind if kind in (RECORD, TIMESTAMP) else None
        if once in seen or _is_wrong(kind, option):
            return ANSWERED
        seen |= {once} - {None}
        at += len(option)
    return Verdict("source_route") if "route" in seen else None


def _is_wrong(kind, option):
    size = len(option)
    if kind in (LOOSE, STRICT):
        return size < 3 or option[2] < 4
    if kind == RECORD:
        return size < 3 or option[2] < 4 or option[2] <= size < option[2] + 3
    if kind == TIMESTAMP:
        if size < 4 or option[2] < 5:
            return True
        flags, room = option[3] & 15, size - option[2] + 1
        if room > 0:
            return room < 4 or (flags in (1, 3) and room < 8)
        return flags != 3 and option[3] >> 4 == 15
    return kind == CIPSO or (kind == ALERT and size < 4)


def of_hop_by_hop(header):
    """None, or the Verdict on a hop-by-hop header, its first two bytes included."""
    at, padding, count = 2, 0, 0
    while at < len(header):
        kind = header[at]
        if kind == 0:
            at, padding = at + 1, padding + 1
            if padding > MOST_PADDING:
                return SILENT
            continue
        if len(header) - at < 2 or header[at + 1] + 2 > len(header) - at:
            return SILENT
        data = header[at + 2 : at + 2 + header[at + 1]]
        if kind == 1:
            padding += len(data) + 2
            if padding > MOST_PADDING or any(data):
                return SILENT
        else:
            padding, count = 0, count + 1
            verdict = SILENT if count > MOST_OPTIONS else _of_option(kind, data, at)
            if verdict:
                return verdict
        at += len(data) + 2
    return None


def _of_option(kind, data, at):
    if kind == 5:  # router alert
        return None if len(data) == 2 else SILENT
    if kind == 0x31:  # IOAM: aligned to four bytes of the packet, whose header has 40
        return None if at % 4 == 0 else SILENT
    if kind == 7:  # CALIPSO
        return SILENT
    if kind == 0xC2:  # jumbo payload
        return SILENT if len(data) != 4 or at % 4 != 2 else ANSWERED
    return (None, SILENT, Verdict(code=2), Verdict(code=2))[kind >> 6]
