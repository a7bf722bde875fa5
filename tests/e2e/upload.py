#!/usr/bin/env python3
"""Bytes that go up: upload.py serve ADDRESS PORT | upload.py send ADDRESS PORT BYTES

The server answers with the SHA-256 of all it got; the client prints whether that is right.
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def answer(connection):
    digest = hashlib.sha256()
    with connection:
        while block := connection.recv(1 << 18):
            digest.update(block)
        connection.sendall(digest.digest())


def serve(address, port):
    listener = socket.create_server((address, port), family=family(address))
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def send(address, port, size):
    digest, block = hashlib.sha256(), os.urandom(1 << 18)
    begun = time.monotonic()
    with socket.create_connection((address, port), timeout=60) as connection:
        while size > 0:
            part = block[:size]
            digest.update(part)
            connection.sendall(part)
            size -= len(part)
        connection.shutdown(socket.SHUT_WR)
        got = connection.recv(32, socket.MSG_WAITALL)
    print(json.dumps({"same": got == digest.digest(), "seconds": round(time.monotonic() - begun, 2)}))


if sys.argv[1] == "serve":
    serve(sys.argv[2], int(sys.argv[3]))
else:
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
