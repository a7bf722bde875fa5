#!/usr/bin/env python3
"""What a program can do with a generic-netlink socket, a line for each: run beside the kernel's IPVS
or behind shunt-exec, by either method, it prints the same.

    netlink_probe.py [CASE...]   all of them, without arguments
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
import time

NETLINK_GENERIC, CONTROLLER, REQUEST_ACK, DUMP = 16, 16, 5, 0x300
SOL_NETLINK, EXT_ACK, IP_VS_SO_GET_INFO = 270, 11, 1153
GET_INFO = 15


def request(family, command, sequence, payload=b"", flags=REQUEST_ACK):
    return struct.pack("=IHHIIBBH", 20 + len(payload), family, flags, sequence, 0, command, 1, 0) + payload


def family_question(name):
    value = name.encode() + b"\0"
    return struct.pack("=HH", 4 + len(value), 2) + value + bytes(-len(value) % 4)


def messages(data):
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[:length]
        data = data[(length + 3) & ~3:]  # fmt: skip


def answer(netlink):
    """(status, messages before it); the status of an acknowledgement is 0."""
    found = []
    while True:
        data, sender = netlink.recvfrom(65536)
        assert sender == (0, 0), sender
        for kind, message in messages(data):
            if kind in (2, 3):
                return -struct.unpack_from("=i", message, 16)[0], found
            found.append(message)


def find_family(netlink, name):
    netlink.sendto(request(CONTROLLER, 3, 7, family_question(name)), (0, 0))
    status, found = answer(netlink)
    for message in found:
        at = 20
        while at + 4 <= len(message):
            length, kind = struct.unpack_from("=HH", message, at)
            if kind == 1:
                return struct.unpack_from("=H", message, at + 4)[0]
            at += (length + 3) & ~3
    return errno.errorcode[status]


def made(bound=True):
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    if bound:
        netlink.bind((0, 0))
    return netlink


def info(netlink, family):
    netlink.sendto(request(family, GET_INFO, 9), (0, 0))
    status, found = answer(netlink)
    return errno.errorcode.get(status, status), len(found)


def families():
    netlink = made()
    ours = find_family(netlink, "IPVS")
    print("families", ours != CONTROLLER, find_family(netlink, "nlctrl"), find_family(netlink, "no-such"), info(netlink, ours))


def names():
    netlink = made(bound=False)
    before = netlink.getsockname()
    family = find_family(netlink, "IPVS")
    own, other = netlink.getsockname(), made()
    print("names", before, own[0] == os.getpid(), own[1], other.getsockname()[0] not in (0, own[0]))
    netlink.setsockopt(SOL_NETLINK, EXT_ACK, 1)
    values = [netlink.getsockopt(*o) for o in ((socket.SOL_SOCKET, socket.SO_DOMAIN), (socket.SOL_SOCKET, socket.SO_PROTOCOL))]
    print("options", values == [socket.AF_NETLINK, NETLINK_GENERIC] or values, netlink.getsockopt(SOL_NETLINK, EXT_ACK))
    print("connected", netlink.connect((0, 0)), netlink.send(request(family, GET_INFO, 9)), answer(netlink)[0])


def copies():
    netlink = made()
    family = find_family(netlink, "IPVS")
    copy = netlink.dup()
    netlink.close()
    print("a copy", info(copy, family), flush=True)
    child = os.fork()
    if child == 0:
        print("a child", info(copy, family), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("its parent", info(copy, family))


def waiting():
    netlink = made()
    family = find_family(netlink, "IPVS")
    poll = select.epoll()
    poll.register(netlink, select.EPOLLIN)
    print("nothing", poll.poll(0))
    netlink.sendto(request(family, GET_INFO, 9), (0, 0))
    print("ready", len(poll.poll(5)), answer(netlink)[0])
    netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("qq", 0, 200_000))
    began = time.monotonic()
    try:
        netlink.recvfrom(100)
    except OSError as error:
        print("a time limit", errno.errorcode[error.errno], 0.1 < time.monotonic() - began < 2)
    netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(16))

    def interrupt(*_):
        raise InterruptedError

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with contextlib.suppress(InterruptedError):
        netlink.recvfrom(100)
        print("not interrupted")
    print("after a signal", info(netlink, family))


def pieces():
    netlink = made()
    family = find_family(netlink, "IPVS")
    netlink.sendmsg([request(family, GET_INFO, 9)[:16], request(family, GET_INFO, 9)[16:]], [], 0, (0, 0))
    poll = select.poll()
    poll.register(netlink, select.POLLIN)
    poll.poll(5000)
    size = netlink.recv_into(bytearray(4), 4, socket.MSG_PEEK | socket.MSG_TRUNC)
    data, _, flags, sender = netlink.recvmsg(16)
    print("a piece", size > 16, len(data), bool(flags & socket.MSG_TRUNC), sender)
    buffers = [bytearray(8), bytearray(4), bytearray(100)]
    n, _, flags, sender = netlink.recvmsg_into(buffers)
    print("pieces", n, struct.unpack_from("=H", buffers[0], 4)[0], flags, sender)


def interrupted():
    """By a signal every half a millisecond: nothing is lost, and nothing is answered twice."""
    netlink = made()
    family = find_family(netlink, "IPVS")
    signals = []
    signal.signal(signal.SIGALRM, lambda *_: signals.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    answers = set()
    while len(signals) < 100:
        answers.add(info(netlink, family))
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("interrupted", answers, select.select([netlink], [], [], 0)[0])


def dropped():
    """Rights that are given up are so at once, also for a socket that was made before."""
    netlink = made()
    family = find_family(netlink, "IPVS")
    print("as root", info(netlink, family))
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    print("as nobody", info(netlink, family), find_family(made(), "IPVS") == family)


def older():
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        raw.getsockopt(socket.IPPROTO_IP, IP_VS_SO_GET_INFO, 64)
    except OSError as error:
        print("the older interface", errno.errorcode[error.errno])


CASES = {case.__name__: case for case in (families, names, copies, waiting, pieces, interrupted, older, dropped)}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or CASES:
        CASES[chosen]()
