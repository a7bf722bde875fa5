#!/usr/bin/env python3
"""Load for tests, each in a process of its own; what came of it is one line of JSON.

load.py fetch ADDRESS PORT BYTES CONNECTIONS    downloads /bytes/BYTES of server.py over so many
                                                connections at once, and judges every digest
load.py serve ADDRESS PORT                      tells every connection whom it sees, and closes first
load.py rate ADDRESS PORT PER_SECOND SECONDS    opens so many connections to it; who it saw
"""

import collections
import errno
import hashlib
import json
import selectors
import socket
import sys
import time

from server import PATTERN

QUIET_SECONDS = 20  # of a download: nothing came for so long
ANSWER_SECONDS = 5  # of a short connection


def expected_digest(size):
    digest = hashlib.sha256()
    for begin in range(0, size, len(PATTERN)):
        digest.update(PATTERN[: size - begin])
    return digest.digest()


def new_socket(address):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setblocking(False)
    return made


class Download:
    def __init__(self, address, port, size):
        self.socket = new_socket(address)
        self.socket.connect_ex((address, port))
        self.request = f"GET /bytes/{size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        self.head, self.in_body = b"", False
        self.digest, self.size = hashlib.sha256(), 0

    def take(self, data):
        if not self.in_body:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.in_body = True
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise ConnectionError(head.split(b"\r\n")[0].decode())
        self.digest.update(data)
        self.size += len(data)


def fetch(address, port, size, connections):
    began, whole, wrong = time.monotonic(), 0, collections.Counter()
    want = expected_digest(size)
    with selectors.DefaultSelector() as watch:
        for _ in range(connections):
            download = Download(address, port, size)
            watch.register(download.socket, selectors.EVENT_WRITE, download)
        while watch.get_map():
            ready = watch.select(QUIET_SECONDS)
            if not ready:
                wrong[f"silent for {QUIET_SECONDS} s"] += len(watch.get_map())
                break
            for key, events in ready:
                download, over = key.data, None
                try:
                    if events & selectors.EVENT_WRITE:
                        download.socket.send(download.request)
                        watch.modify(download.socket, selectors.EVENT_READ, download)
                        continue
                    data = download.socket.recv(1 << 18)
                    if data:
                        download.take(data)
                    elif download.digest.digest() == want:
                        over = "whole"
                    else:
                        over = "cut short" if download.size < size else "other bytes"
                except OSError as error:
                    over = str(error)
                if over:
                    whole += over == "whole"
                    wrong[over] += over != "whole"
                    watch.unregister(download.socket)
                    download.socket.close()
    return {"whole": whole, "wrong": +wrong, "seconds": round(time.monotonic() - began, 2)}


def serve(address, port):
    listener = new_socket(address)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(4096)
    print("ready", flush=True)
    with selectors.DefaultSelector() as watch:
        watch.register(listener, selectors.EVENT_READ)
        while True:
            watch.select()
            try:
                while True:
                    stream, peer = listener.accept()
                    with stream:
                        stream.send(peer[0].encode())
            except OSError:
                pass  # no more, or one that went away


def rate(address, port, per_second, seconds):
    """Opens connections on time, late ones at once; each must be answered within ANSWER_SECONDS."""
    began = time.monotonic()
    total, opened = int(per_second * seconds), 0
    saw, wrong, slowest = collections.Counter(), collections.Counter(), 0.0
    unanswered = []  # client ports
    waiting = collections.OrderedDict()  # socket -> when it was opened, oldest first
    with selectors.DefaultSelector() as watch:
        while opened < total or waiting:
            now = time.monotonic()
            while opened < total and opened <= (now - began) * per_second:
                stream = new_socket(address)
                opened += 1
                error = stream.connect_ex((address, port))
                if error not in (0, errno.EINPROGRESS):
                    wrong[errno.errorcode[error]] += 1
                    stream.close()
                    continue
                waiting[stream] = now
                watch.register(stream, selectors.EVENT_READ)
            pause = max(0, began + opened / per_second - now) if opened < total else 0.1
            for key, _ in watch.select(min(pause, 0.1)):
                stream = key.fileobj
                try:
                    said = stream.recv(64).decode()
                    if said:
                        saw[said] += 1
                    else:
                        wrong["closed without a word"] += 1
                except OSError as error:
                    wrong[errno.errorcode[error.errno]] += 1
                slowest = max(slowest, time.monotonic() - waiting.pop(stream))
                watch.unregister(stream)
                stream.close()
            now = time.monotonic()
            while waiting and now - next(iter(waiting.values())) > ANSWER_SECONDS:
                stream, _ = waiting.popitem(last=False)
                wrong[f"no answer within {ANSWER_SECONDS} s"] += 1
                unanswered.append(stream.getsockname()[1])
                watch.unregister(stream)
                stream.close()
    took = time.monotonic() - began
    return {
        "opened": opened, "saw": saw, "wrong": wrong, "per_second": round(opened / took),
        "seconds": round(took, 2), "slowest_ms": round(slowest * 1000), "unanswered": unanswered[:8],
    }  # fmt: skip


def main():
    what, address, port, *numbers = sys.argv[1:]
    if what == "serve":
        return serve(address, int(port))
    print(json.dumps({"fetch": fetch, "rate": rate}[what](address, int(port), *map(int, numbers))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
