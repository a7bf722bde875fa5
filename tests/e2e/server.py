#!/usr/bin/env python3
"""A real server for tests: server.py NAME ADDRESS:PORT...

On each endpoint it speaks HTTP (TCP) and echoes datagrams (UDP). GET / answers "NAME CLIENT PORT",
the client as the server sees it; GET /bytes/N answers N bytes of a fixed pattern; HTTP connections
stay open unless the client asks otherwise: then the body ends with the connection, so that the
server closes first and the client's port is free at once. A datagram comes back as "NAME CLIENT PORT " + itself,
from the address it was sent to.
"""

import http.server
import socket
import socketserver
import sys
import threading

NAME = sys.argv[1] if len(sys.argv) > 1 else ""
PATTERN = bytes(range(251)) * 256


def plain(address):
    return address.removeprefix("::ffff:")


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        client, port = self.client_address[:2]
        if self.path.startswith("/bytes/"):
            size, body = int(self.path.split("/")[2]), PATTERN
        else:
            body = f"{NAME} {plain(client)} {port}\n".encode()
            size = len(body)
        self.send_response(200)
        if not self.close_connection:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        for sent in range(0, size, len(body)):
            self.wfile.write(body[: size - sent])

    def log_message(self, *_):
        pass


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass  # a client that went away


def echo(endpoint):
    while True:
        data, client = endpoint.recvfrom(65536)
        try:
            endpoint.sendto(f"{NAME} {plain(client[0])} {client[1]} ".encode() + data, client)
        except OSError:
            pass  # longer than a datagram, or an ICMP error of an earlier one


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    for argument in sys.argv[2:]:
        address, port = argument.rsplit(":", 1)
        address = address.strip("[]")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tcp = type("Tcp", (Tcp,), {"address_family": family})((address, int(port)), Http)
        threading.Thread(target=tcp.serve_forever, daemon=True).start()
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.bind((address, int(port)))
        threading.Thread(target=echo, args=(udp,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
