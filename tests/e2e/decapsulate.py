#!/usr/bin/env python3
"""A tunnel's far end in user space: decapsulate.py GUE_PORT TUN

Takes IP in IP, GRE and GUE, over IPv4 and IPv6, from raw sockets, and gives what is inside to its
own Linux by a TUN interface. What is not as the RFCs say is counted as bad, and said at SIGTERM
as one JSON object: packets by kind, and bad ones with the first reason. (UDP checksums are the
kernel's to look at, except a missing one in IPv6, which it drops unless asked otherwise.)
"""

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys

IPV4, IPV6, GRE = 4, 41, 47
UDP_NO_CHECK6_RX = 102  # linux/udp.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
told = {"packets": {}, "bad": 0, "why": None}


def sum_of(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def open_tun(name):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH", name.encode(), 0x1001))  # TUNSETIFF, TUN | NO_PI
    return tun


def gre_payload(data):
    flags, kind = struct.unpack_from("!HH", data)
    if flags & ~0x8000 or kind not in (0x0800, 0x86DD):
        raise ValueError(f"GRE flags {flags:04x}, protocol {kind:04x}")
    if not flags:
        return data[4:]
    if sum_of(data) != 0xFFFF or data[6:8] != b"\0\0":
        raise ValueError("GRE checksum")
    return data[8:]


def gue_payload(data):
    if data[0] != 0 or data[1] not in (IPV4, IPV6) or data[2:4] != b"\0\0":
        raise ValueError(f"GUE header {data[:4].hex()}")
    if data[4] >> 4 != (4 if data[1] == IPV4 else 6):
        raise ValueError("GUE protocol is not the packet's")
    return data[4:]


def receivers(port):
    """(socket, what it is called, has an IPv4 header in front, how to unpack)"""
    out = []
    for family, mark in ((socket.AF_INET, "v4"), (socket.AF_INET6, "v6")):
        for protocol, name, unpack in (
            (IPV4, "ipip", bytes), (IPV6, "ipip", bytes), (GRE, "gre", gre_payload),
        ):  # fmt: skip
            raw = socket.socket(family, socket.SOCK_RAW, protocol)
            out.append((raw, f"{name} {mark}", family == socket.AF_INET, unpack))
        udp = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
        udp.bind(("", port))
        out.append((udp, f"gue {mark}", False, gue_payload))
    for each in out:
        each[0].setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        each[0].setblocking(False)
    return out


def end(_number, _frame):
    print(json.dumps(told), flush=True)
    os._exit(0)


def main():
    port, name = int(sys.argv[1]), sys.argv[2]
    tun = open_tun(name)
    poll, by_fd = select.poll(), {}
    for each in receivers(port):
        poll.register(each[0], select.POLLIN)
        by_fd[each[0].fileno()] = each
    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            receiver, kind, has_header, unpack = by_fd[fd]
            for _ in range(64):
                try:
                    data = receiver.recv(65535)
                except BlockingIOError:
                    break
                if has_header:
                    data = data[(data[0] & 15) * 4 :]
                told["packets"][kind] = told["packets"].get(kind, 0) + 1
                try:
                    os.write(tun, unpack(data))
                except (ValueError, IndexError, struct.error, OSError) as error:
                    told["bad"] += 1
                    told["why"] = told["why"] or f"{kind}: {error}"


main()
