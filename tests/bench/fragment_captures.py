"""Captures of fragments that never become whole, for instructions.py: one function a pattern, which
returns its frames; write() makes a file of them."""

import ipaddress
import struct

PIECES = 1000  # of one datagram
VIP = "198.51.100.1"


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def fragment(offset, ip_id, source="203.0.113.9", size=8):
    """A fragment of UDP that is not the last one."""
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + size, ip_id, 0x2000 | offset // 8, 64, 17, 0,
                         ipaddress.ip_address(source).packed, ipaddress.ip_address(VIP).packed)
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return bytes.fromhex("025b000000010200000000fe0800") + header + bytes(size)


def again():
    """1,000 pieces of a datagram, then the last one of these again and again."""
    pieces = [fragment(8 * i, 1) for i in range(PIECES)]
    return pieces + [pieces[-1]] * 31 * PIECES


def in_order():
    return [fragment(8 * i, ip_id) for ip_id in range(1, 33) for i in range(PIECES)]


def with_gaps_reversed():
    return [fragment(16 * i, ip_id) for ip_id in range(1, 33) for i in reversed(range(PIECES))]


def from_many_sources():
    return [fragment(0, 1, f"203.0.{n >> 8 & 255}.{n & 255}") for n in range(32 * PIECES)]


PATTERNS = {"pieces-again": again, "pieces": in_order, "pieces-gaps": with_gaps_reversed,
            "pieces-sources": from_many_sources}


def write(file, frames):
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for frame in frames:
        file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    file.flush()
