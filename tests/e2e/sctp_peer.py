#!/usr/bin/env python3
"""A small SCTP end over a raw socket, where the kernel has no SCTP: it counts nothing as received
whose CRC32c or verification tag is wrong.

sctp_peer.py serve ADDRESS PORT                      answers every message with itself, in upper case
sctp_peer.py talk FROM PORT ADDRESS PORT MESSAGES    an association from INIT to SHUTDOWN COMPLETE;
                                                     writes what it came to as JSON

Chunks as in RFC 9260 section 3.3, one stream, no retransmission but of the client's last packet.
"""

import json
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import packet as p  # noqa: E402

DATA, INIT, INIT_ACK, SACK, ABORT, SHUTDOWN, SHUTDOWN_ACK = 0, 1, 2, 3, 6, 7, 8
COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE = 10, 11, 14
COOKIE_PARAMETER = 7
AGAIN_AFTER, TRIES = 0.5, 10


class End:
    """A port of an address. `wrong` counts packets to it with a wrong checksum."""

    def __init__(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_RAW, p.SCTP)
        self._socket.bind((address, 0))
        self.port, self.wrong = port, 0

    def send(self, to, port, tag, chunks):
        data = struct.pack("!HHII", self.port, port, tag, 0) + chunks
        data = data[:8] + p.sctp_sum(data) + data[12:]
        self._socket.sendto(data, (to, 0))

    def receive(self, timeout=None):
        """(address, port, tag, [(type, value)]), or None when the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if deadline is not None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data, where = self._socket.recvfrom(65535)
            except TimeoutError:
                return None
            if self._socket.family == socket.AF_INET:
                data = data[(data[0] & 15) * 4 :]
            source, target, tag = struct.unpack_from("!HHI", data)
            if target != self.port:
                continue
            if data[8:12] != p.sctp_sum(data):
                self.wrong += 1
                continue
            return where[0], source, tag, list(chunks_of(data[12:]))


def chunks_of(data):
    while len(data) >= 4:
        kind, _, length = struct.unpack_from("!BBH", data)
        yield kind, data[4:length]
        data = data[(length + 3) // 4 * 4 :]


def init_value(tag, first):
    return struct.pack("!IIHHI", tag, 65536, 1, 1, first)


def data_chunk(number, text):
    return p.chunk(DATA, struct.pack("!IHHI", number, 0, number & 0xFFFF, 0) + text)


def sack(number):
    return p.chunk(SACK, struct.pack("!IIHH", number, 65536, 0, 0))


def serve(address, port):
    end = End(address, int(port))
    tags, cookies = {}, {}  # of each peer: (its tag, ours), the cookie it was sent
    print("ready", flush=True)
    while True:
        peer, source, tag, chunks = end.receive()
        key = peer, source

        def answer(*out, key=key):
            end.send(*key, tags[key][0], b"".join(out))

        kind, value = chunks[0]
        if kind == INIT:
            ours = int.from_bytes(os.urandom(4)) | 1
            tags[key] = struct.unpack_from("!I", value)[0], ours
            cookies[key] = os.urandom(23)
            cookie = struct.pack("!HH", COOKIE_PARAMETER, 27) + cookies[key] + b"\0"
            answer(p.chunk(INIT_ACK, init_value(ours, 1) + cookie))
            continue
        if key not in tags or tag != tags[key][1]:
            print(f"stray chunk {kind} of {peer}:{source}", flush=True)
            continue
        for kind, value in chunks:
            if kind == COOKIE_ECHO:
                if value == cookies[key]:
                    answer(p.chunk(COOKIE_ACK))
            elif kind == DATA:
                number = struct.unpack_from("!I", value)[0]
                answer(sack(number), data_chunk(number, value[12:].upper()))
            elif kind == SHUTDOWN:
                answer(p.chunk(SHUTDOWN_ACK))
            elif kind == SHUTDOWN_COMPLETE:
                print(f"complete {peer}:{source} wrong {end.wrong}", flush=True)


class Talk:
    def __init__(self, source, port, address, to):
        self.end, self.server = End(source, int(port)), (address, int(to))
        self.tag, self.theirs = int.from_bytes(os.urandom(4)) | 1, 0

    def ask(self, chunks, wanted, repeated=None):
        """Sends until a chunk of the wanted type comes; its value. What ends with `repeated` is a late answer
        to what was sent twice before, and does not count."""
        for _ in range(TRIES):
            self.end.send(*self.server, self.theirs, chunks)
            deadline = time.monotonic() + AGAIN_AFTER
            while (left := deadline - time.monotonic()) > 0:
                came = self.end.receive(left)
                if came is None or came[:2] != self.server or came[2] != self.tag:
                    continue
                for kind, value in came[3]:
                    if kind == wanted and (repeated is None or value[12:] != repeated):
                        return value
        raise SystemExit(f"no chunk {wanted} came")


def talk(source, port, address, to, messages):
    it = Talk(source, port, address, to)
    value = it.ask(p.chunk(INIT, init_value(it.tag, 1)), INIT_ACK)
    it.theirs = struct.unpack_from("!I", value)[0]
    _, length = struct.unpack_from("!HH", value, 16)
    it.ask(p.chunk(COOKIE_ECHO, value[20 : 16 + length]), COOKIE_ACK)
    print("established", flush=True)
    echoed, last = 0, None
    for number in range(1, int(messages) + 1):
        text = bytes(97 + (number + i) % 26 for i in range(number * 37 % 1400 + 1))
        value = it.ask(data_chunk(number, text), DATA, last)
        last = text.upper()
        echoed += value[12:] == last
    if sys.stdin.isatty() or sys.stdin.readline():
        it.ask(p.chunk(SHUTDOWN, struct.pack("!I", int(messages))), SHUTDOWN_ACK)
        it.end.send(*it.server, it.theirs, p.chunk(SHUTDOWN_COMPLETE))
    print(json.dumps({"echoed": echoed, "wrong": it.end.wrong}), flush=True)


{"serve": serve, "talk": talk}[sys.argv[1]](*sys.argv[2:])
