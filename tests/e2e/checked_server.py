#!/usr/bin/env python3
"""What keepalived's checkers ask of a real server: checked_server.py DIRECTORY, which has the
certificates of make_certificates(). Serves until it is ended, and says "ready" first.

HTTP 8080, HTTPS 8443, HTTPS that wants a server name 8444, HTTPS that wants a client's certificate
8445; SMTP 2525, which keeps mails in DIRECTORY/mails; DNS 5353; and 7000, which answers the
datagram 01 02 with "pong" and no other.
"""

import http.server
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading

BODY = b"hello, checker"
HOST = "www.shunt.test"
PASSWORD = "secret"


def make_certificates(directory):
    """An authority, a server's certificate and a client's whose key has a password."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    new = ["-newkey", "rsa:2048", "-days", "30"]
    openssl("req", "-x509", *new, "-nodes", "-subj", "/CN=shunt test", "-keyout", "ca.key", "-out", "ca.pem")
    for name, locked in (("server", ["-nodes"]), ("client", ["-passout", f"pass:{PASSWORD}"])):
        openssl("req", *new, *locked, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "30", "-out", f"{name}.pem")  # fmt: skip


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def status(self):
        """Of /404, /host, /version, /port/N and /address/A: is the request as it says?"""
        what, _, wanted = self.path[1:].partition("/")
        if what == "404":
            return 404
        if what == "host":
            return 200 if self.headers.get("Host", "").split(":")[0] == HOST else 400
        if what == "version":
            return 200 if self.request_version == "HTTP/1.1" else 400
        if what == "port":
            return 200 if self.client_address[1] == int(wanted) else 400
        if what == "address":
            return 200 if self.client_address[0].removeprefix("::ffff:") == wanted else 400
        return 200

    def do_GET(self):
        self.send_response(self.status())
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)
        self.close_connection = True

    def log_message(self, *_):
        pass


class Smtp(socketserver.StreamRequestHandler):
    timeout = 10

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 shunt test")
        while line := self.rfile.readline().decode(errors="replace").strip():
            word, _, rest = line.partition(" ")
            word = word.upper()
            if word == "DATA":
                self.say("354 go on")
                self.keep_mail()
            elif word in ("HELO", "EHLO") and rest.startswith("wrong"):
                self.say("550 who?")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 good")

    def keep_mail(self):
        with open(os.path.join(sys.argv[1], "mails"), "ab") as mails:
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                mails.write(line)
        self.say("250 kept")


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
    context = None

    def finish_request(self, request, client_address):
        if self.context:
            request.settimeout(10)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.context:
            request.unwrap()

    def handle_error(self, *_):
        pass  # a client that went away, or was refused


def tls(wants_name=False, wants_certificate=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(sys.argv[1], "server.pem"), os.path.join(sys.argv[1], "server.key"))
    if wants_name:
        context.sni_callback = lambda _socket, name, _context: (
            None if name == HOST else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        )
    if wants_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(os.path.join(sys.argv[1], "ca.pem"))
    return context


def answer_dns(query):
    """The question again, and for a TXT of ok.shunt.test an answer, for others that there is no such name
    (RFC 1035 section 4.1)."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    good = question == b"\2ok\5shunt\4test\0" + struct.pack("!HH", 16, 1)
    header = query[:2] + struct.pack("!HHHHH", 0x8180 if good else 0x8183, 1, int(good), 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, 3) + b"\2ok"
    return header + question + (record if good else b"")


def datagrams(port, answer):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(("::", port))
        while True:
            data, client = endpoint.recvfrom(65536)
            if reply := answer(data):
                endpoint.sendto(reply, client)


def main():
    contexts = {8080: None, 8443: tls(), 8444: tls(wants_name=True), 8445: tls(wants_certificate=True)}
    work = []
    for port, context in contexts.items():
        server = Tcp(("::", port), Http)
        server.context = context
        work.append(server.serve_forever)
    work.append(Tcp(("::", 2525), Smtp).serve_forever)
    work.append(lambda: datagrams(5353, answer_dns))
    work.append(lambda: datagrams(7000, lambda data: b"pong" if data == b"\1\2" else None))
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    threads[0].join()


if __name__ == "__main__":
    main()
