"""Classic pcap files: read and write, microseconds and nanoseconds, both byte orders.

Written apart from the C++ code on purpose: the tests that judge shunt-replay read what it reads
and what it writes through this file only. Format: draft-ietf-opsawg-pcap.
"""

import struct
from dataclasses import dataclass, field

MICROSECONDS, NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
ETHERNET = 1


class CaptureError(Exception):
    """One sentence that names the file and what is wrong with it."""


@dataclass
class Packet:
    time: int  # nanoseconds since the epoch
    data: bytes  # what was captured
    length: int  # bytes on the wire; more than len(data) if the capture cut the frame

    @property
    def cut(self):
        return self.length > len(self.data)


@dataclass
class Capture:
    packets: list = field(default_factory=list)
    link_type: int = ETHERNET
    nanoseconds: bool = False
    big_endian: bool = False
    truncated: bool = False  # the last record is not whole; the whole ones are in packets


def parse(raw, name="capture"):
    """The Capture in the bytes `raw`."""
    if len(raw) < 24:
        raise CaptureError(f"{name}: {len(raw)} bytes are too short for a pcap file header")
    for order in "<>":
        (magic,) = struct.unpack_from(order + "I", raw)
        if magic in (MICROSECONDS, NANOSECONDS):
            break
    else:
        raise CaptureError(f"{name}: no classic pcap file: it begins with {raw[:4].hex()}")
    unit = 1 if magic == NANOSECONDS else 1000
    snap, link = struct.unpack_from(order + "II", raw, 16)
    capture = Capture([], link & 0xFFFF, magic == NANOSECONDS, order == ">")
    at = 24
    while at < len(raw):
        if at + 16 > len(raw):
            capture.truncated = True
            break
        seconds, fraction, kept, length = struct.unpack_from(order + "IIII", raw, at)
        at += 16
        if at + kept > len(raw):
            capture.truncated = True
            break
        time = seconds * 1_000_000_000 + fraction * unit
        # A record longer than the file's own limit is cut there, as libpcap does.
        capture.packets.append(Packet(time, raw[at : at + min(kept, snap or kept)], length))
        at += kept
    return capture


def read(path):
    """The Capture in a file; CaptureError if it is none."""
    with open(path, "rb") as file:
        return parse(file.read(), str(path))


def render(packets, nanoseconds=False, big_endian=False, link_type=ETHERNET):
    """The bytes of a capture file with these packets."""
    order = ">" if big_endian else "<"
    magic = NANOSECONDS if nanoseconds else MICROSECONDS
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for packet in packets:
        seconds, rest = divmod(packet.time, 1_000_000_000)
        fraction = rest if nanoseconds else rest // 1000
        head = (seconds, fraction, len(packet.data), packet.length)
        out += [struct.pack(order + "IIII", *head), packet.data]
    return b"".join(out)


def write(path, packets, **options):
    """Writes packets to a file; options as in render()."""
    with open(path, "wb") as file:
        file.write(render(packets, **options))


def packet(seconds, data, length=None):
    """A Packet at `seconds`, whole unless `length` says what was on the wire."""
    return Packet(round(seconds * 1e6) * 1000, bytes(data), len(data) if length is None else length)
