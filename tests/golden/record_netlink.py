#!/usr/bin/env python3
"""record_netlink.py CAPTURE.pcap >FILE: the conversation of programs with the kernel's family "IPVS".

CAPTURE is what tcpdump saw on an nlmon interface. FILE has a line for each datagram, in order:
"> HEX" of a program's request, "< HEX" of the kernel's answer, headers included; before them
"family NUMBER" of that kernel. Left out is what was said before the first question for "IPVS", and
that question and IPVS_CMD_GET_INFO, with which every command begins, after their first time.
"""

import struct
import sys

GENERIC, CONTROL = 16, 16  # NETLINK_GENERIC, GENL_ID_CTRL
GET_INFO = 15


def datagrams(capture):
    at = 24
    while at + 16 <= len(capture):
        size = struct.unpack("<I", capture[at + 8 : at + 12])[0]
        frame = capture[at + 16 : at + 16 + size]
        at += 16 + size
        if struct.unpack("!H", frame[14:16])[0] == GENERIC:
            yield frame[16:]


def main():
    with open(sys.argv[1], "rb") as file:
        all_of_it = list(datagrams(file.read()))
    answer = next(d for d in all_of_it
                  if struct.unpack("<HH", d[4:8]) == (CONTROL, 0) and b"IPVS\0" in d)
    where = answer.index(b"\x06\0\x01\0")
    family = struct.unpack("<H", answer[where + 4 : where + 6])[0]
    print("family", family)
    begun, seen, repeated = False, set(), set()
    for datagram in all_of_it:
        kind, flags = struct.unpack("<HH", datagram[4:8])
        is_request, conversation = flags & 1 and kind > 3, datagram[8:16]
        begun |= bool(is_request and b"IPVS\0" in datagram)
        if is_request and (kind, datagram[16]) in ((CONTROL, 3), (family, GET_INFO)):
            if (kind, datagram[16:]) in seen:
                repeated.add(conversation)
            seen.add((kind, datagram[16:]))
        if begun and conversation not in repeated:
            print("><"[not is_request], datagram.hex())


main()
