"""What a client of a service does: real TCP connections with curl, datagrams, kept connections."""

import collections
import socket
import struct
import time
from dataclasses import dataclass

from appliance import checksum
from lab import Failure

QUIET_SECONDS = 2  # no answer for so long is "no answer"


@dataclass
class Reply:
    port: int  # the client's own
    status: int = 0  # HTTP's; 0: no answer
    server: str = ""
    saw: str = ""  # the client's address and port as the server saw them
    saw_port: int = 0
    why: str = ""  # curl's sentence when there was no answer


def url_of(address, port):
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


def get(network, address, port, client_ports, where="client"):
    """One HTTP connection from each of the client ports with one curl; their Replies."""
    configuration = "\nnext\n".join(
        f'url = "{url_of(address, port)}"\nlocal-port = {client_port}\nheader = "Connection: close"\n'
        f'write-out = "|{client_port}|%{{http_code}}|%{{errormsg}}\\n"\nconnect-timeout = 5\nmax-time = 10\n'
        "silent\ngloboff"
        for client_port in client_ports
    )
    text = network.lab.run(
        where, "curl", "-q", "-K", "-", stdin=configuration, check=False, timeout=30 + 10 * len(client_ports)
    )
    replies = {port: Reply(port) for port in client_ports}
    body = []
    for line in text.splitlines():
        said, bar, rest = line.partition("|")
        if not bar:
            body = said.split()
            continue
        client_port, status, why = rest.split("|", 2)
        reply = replies[int(client_port)]
        reply.status, reply.why = int(status), why
        if len(body) == 3:
            reply.server, reply.saw, reply.saw_port = body[0], body[1], int(body[2])
        body = []
    settle(network, where, client_ports)
    return list(replies.values())


def settle(network, where, client_ports, within=5):
    """Waits until the last FINs are acknowledged: whoever changes or restarts something next must
    not cut them off, and the ports must be free for the next connection."""
    deadline = time.monotonic() + within
    wanted = set(client_ports)
    while time.monotonic() < deadline:
        with network.lab.inside(where):
            lines = [
                line.split()[1]
                for family in ("tcp", "tcp6")
                for line in open(f"/proc/thread-self/net/{family}", encoding="ascii").readlines()[1:]
            ]
        if not wanted & {int(local.rsplit(":", 1)[1], 16) for local in lines}:
            return
        time.sleep(0.02)


def by_server(replies):
    return collections.Counter(reply.server or "no answer" for reply in replies)


class Kept:
    """A connection that stays open: ask() as often as wanted."""

    def __init__(self, network, address, port, client_port, where="client"):
        with network.lab.inside(where):
            self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(("", client_port))
            self.socket.settimeout(5)
            self.socket.connect((address, port))
        self.port = client_port

    def ask(self):
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def answer(self, within=QUIET_SECONDS):
        """The server that answers, or None when nobody does; a reset is a Failure."""
        self.socket.settimeout(within)
        data = b""
        try:
            while not data.endswith(b"\n") or b"\r\n\r\n" not in data or data.endswith(b"\r\n\r\n"):
                more = self.socket.recv(4096)
                if not more:
                    raise Failure(f"the connection from port {self.port} was closed")
                data += more
        except TimeoutError:
            return None
        except ConnectionError as error:
            raise Failure(f"the connection from port {self.port}: {error}") from error
        return data.rsplit(b"\r\n", 1)[-1].split()[0].decode()

    def close(self):
        self.socket.close()


def datagram(network, address, port, client_port, payload, where="client"):
    """Sends one datagram; the words (server, client, port) and payload that come back, or None."""
    with network.lab.inside(where):
        sender = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.bind(("", client_port))
        sender.connect((address, port))
        sender.settimeout(QUIET_SECONDS)
        sender.send(payload)
        try:
            words = sender.recv(65536).split(b" ", 3)
        except (TimeoutError, ConnectionError):
            return None
    return words[0].decode(), words[1].decode(), int(words[2]), words[3]


def ping(network, address, identifier, where="client"):
    """One ICMP echo request (RFC 792); whether its reply came."""
    message = struct.pack("!BBHHH", 8, 0, 0, identifier, 1) + b"shunt"
    message += b"\0" * (len(message) % 2)
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    with network.lab.inside(where):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with raw:
        raw.settimeout(QUIET_SECONDS)
        raw.sendto(message, (address, 0))
        try:
            while True:
                packet, source = raw.recvfrom(2048)
                kind, _, _, its = struct.unpack("!BBHH", packet[20:26])
                if (kind, its, source[0]) == (0, identifier, address):
                    return True
        except TimeoutError:
            return False
