"""From a step of a scenario to the frame that is sent (runs in the guest).

A step names a flow, [protocol, client, port, virtual address, port]; the endpoint that answers it
is the server to which the director forwarded its last packet. A step that needs a server when none
was seen is not sent.
"""

import struct

import packet
import world

NUMBERS = {"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP}
IP_FIELDS = ("ttl", "tos", "ident", "df", "bad_sum")


class Traffic:
    def __init__(self, flows):
        self._flows = flows
        self._servers = {}  # flow -> (address, port, MAC address)
        self._outer = {}  # flow -> the packet around its last one
        self._said, self._heard = {}, {}  # (flow, side) -> next sequence number, there and as it left

    def frame(self, step):
        """(wire, frame), or None if this step cannot be sent."""
        build = getattr(self, "_" + step["kind"])
        made = build(step)
        if made is None:
            return None
        wire, source, data = made
        return wire, packet.ethernet(world.DIRECTOR_MAC, world.mac_of(source), data)

    def begins(self, step):
        """May this packet begin its flow anew?"""
        return 1 in step.get("chunks", ()) or "S" in step.get("flags", "")

    def forwarded(self, step, came):
        """Remembers which server a client's packet went to, or what is around it; and how far both
        ends of a control connection are."""
        if "side" not in step or len(came) != 1:
            return
        wire, frame = came[0]
        fields = packet.dissect(frame)
        if step["kind"] == "ftp" and "tcp.sequence" in fields:
            data = len(fields["tcp.options_and_data"]) // 2
            ends = sum(flag in fields["tcp.flags"] for flag in "SF")
            self._heard[step["flow"], step["side"]] = fields["tcp.sequence"] + data + ends
        if step["side"] != "c" or step["kind"] not in (*NUMBERS, "ftp") or wire != "s":
            return
        ip = "ip6" if "ip6.source" in fields else "ip"
        if fields[ip + ".source"] in world.OWN.values():
            self._outer[step["flow"]] = frame[14:], frame[:6].hex(":")
            return
        protocol = self._flows[step["flow"]][0]
        port = fields.get(protocol + ".destination_port")
        if port is None and len(fields.get("ip.payload", "")) >= 8:
            port = int(fields["ip.payload"][4:8], 16)
        self._servers[step["flow"]] = fields[ip + ".destination"], port, fields["eth.destination"]

    def _ends(self, step):
        """Source and destination of a packet of the flow, or None: nobody answers it."""
        _, client, port, vip, vport = self._flows[step["flow"]]
        if step["side"] == "c":
            return client, port, vip, vport
        server = self._servers.get(step.get("like", step["flow"]))
        # A server reached by direct routing answers past the director.
        if server is None or server[0] == vip:
            return None
        return server[0], vport if "like" in step else server[1], client, port

    def _send(self, step, ends, build, **more):
        fields = {name: step[name] for name in IP_FIELDS if name in step}
        if "options" in step:
            fields["options"] = bytes.fromhex(step["options"])
        made = build(*ends, **fields, **more)
        if "hop_by_hop" in step:
            made = packet.with_hop_by_hop(made, bytes.fromhex(step["hop_by_hop"]))
        return step["side"], ends[0], made

    def _tcp(self, step):
        ends = self._ends(step)
        more = {"flags": step["flags"], "data": b"d" * step.get("size", 0), "seq": step.get("seq", 1000)}
        if "text" in step:
            more |= {"data": step["text"].encode(), "ack": step["ack"]}
        return ends and self._send(step, ends, packet.tcp, bad_tcp=step.get("bad_tcp", False), **more)

    def _udp(self, step):
        ends = self._ends(step)
        data = step["text"].encode() if "text" in step else b"u" * step.get("size", 1)
        more = {"data": data, "no_sum": step.get("no_sum", False)}
        return ends and self._send(step, ends, packet.udp, **more)

    def _sctp(self, step):
        ends = self._ends(step)
        data = packet.chunk(0, bytes(12) + b"s" * step.get("size", 1))
        chunks = b"".join(data if kind == 0 else packet.chunk(kind, bytes(16)) for kind in step["chunks"])
        return ends and self._send(step, ends, packet.sctp, chunks=chunks, bad_sctp=step.get("bad_sctp", False))

    def _fragment(self, step):
        """A part of a packet of the flow, in pieces of `most` bytes."""
        made = getattr(self, "_" + step["of"])({"df": False, "flags": "A", "chunks": [0], **step})
        if made is None:
            return None
        wire, source, whole = made
        parts = packet.cut(whole, *[step["most"]] * (len(whole) // step["most"]))
        # A scenario that is being shrunk may have less of it.
        return (wire, source, parts[step["part"]]) if step["part"] < len(parts) else None

    def _ftp(self, step):
        """A packet of a control connection, with what is due of sequence numbers."""
        ends = self._ends(step)
        if ends is None:
            return None
        name, other = (step["flow"], step["side"]), (step["flow"], "s" if step["side"] == "c" else "c")
        text = self._ftp_text(step["say"], *ends[:2])
        seq = self._said.get(name, 1000)
        self._said[name] = seq + len(text) + sum(flag in step["flags"] for flag in "SF")
        return self._tcp({**step, "text": text, "seq": seq, "ack": self._heard.get(other, 0)})

    @staticmethod
    def _ftp_text(say, address, _):
        """What is said, with the address and port that it is about where they belong."""
        word, _, port = say.partition(" ")
        if not word:
            return ""
        if port.isdigit():
            four = f"{address.replace('.', ',')},{int(port) >> 8},{int(port) & 255}"
            say = {
                "PORT": f"PORT {four}", "EPRT": f"EPRT |1|{address}|{port}|",
                "227": f"227 Entering Passive Mode ({four}).",
                "229": f"229 Entering Extended Passive Mode (|||{port}|)",
            }[word]  # fmt: skip
        return say + "\r\n"

    def _ipsec(self, step):
        """AH or ESP, of which nothing but the number is looked at."""
        _, client, _, vip, _ = self._flows[step["flow"]]
        ends = client, vip
        if step["side"] == "s":
            server = self._servers.get(step["flow"])
            if server is None or server[0] == vip:
                return None
            ends = server[0], client
        data = struct.pack("!BBHII", 50, 4, 0, 1, 1) + b"a" * 12 if step["protocol"] == 51 else b""
        fields = {name: step[name] for name in IP_FIELDS if name in step}
        return step["side"], ends[0], packet.ip(*ends, step["protocol"], data + b"e" * step["size"], **fields)

    def _inside(self, step):
        """ICMP of a router inside a tunnel, about the last packet of the flow that went there."""
        if step["flow"] not in self._outer:
            return None
        outer, _ = self._outer[step["flow"]]
        six = outer[0] >> 4 == 6
        router, near = world.address(6 if six else 4, "server", world.SERVERS), world.OWN[6 if six else 4]
        rest = struct.pack("!I", step["rest"])
        made = packet.icmp(router, near, step["type"], step["code"], rest, outer[: step["cut"] or 548])
        if step.get("bad_icmp"):
            at = 43 if six else 23
            made = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        return "s", router, made

    def _stray(self, step):
        """A server's packet that belongs to no flow: `server` is [address, port]."""
        _, client, port, _, _ = self._flows[step["flow"]]
        ends = (*step["server"], client, port)
        build = packet.udp if step["udp"] else packet.tcp
        return "s", ends[0], build(*ends)

    def _strange(self, step):
        """Too short for its protocol, or of a protocol that nobody balances."""
        _, client, port, vip, vport = self._flows[step["flow"]]
        protocol = {"gre": 47, "tcp": packet.TCP, "udp": packet.UDP}[step["protocol"]]
        payload = struct.pack("!HHIII", port, vport, 0, 0, 0)[: step["size"]]
        if len(payload) >= 8 and protocol == packet.UDP:
            payload = payload[:7]
        return "c", client, packet.ip(client, vip, protocol, payload)

    def _echo(self, step):
        _, client, _, vip, _ = self._flows[step["flow"]]
        kind = 128 if ":" in vip else 8
        return "c", client, packet.icmp(client, vip, kind, 0, b"\0\7\0\1", b"echo")

    def _error(self, step):
        """An ICMP error about the flow: from the client's side about an answer, from the server's
        about a request."""
        inner_ends = self._ends({**step, "side": "s" if step["side"] == "c" else "c"})
        protocol, client, port, vip, vport = self._flows[step["flow"]]
        if step["side"] == "c":
            inner_ends, source, target = (vip, vport, client, port), client, vip
        else:
            server = self._servers.get(step["flow"])
            if server is None or server[0] == vip:
                return None
            inner_ends, source, target = (client, port, server[0], server[1]), server[0], client
        if protocol == "sctp":
            inner = packet.sctp(*inner_ends, chunks=packet.chunk(0, bytes(12) + b"inner data"))
        else:
            inner = (packet.udp if protocol == "udp" else packet.tcp)(*inner_ends, data=b"inner data")
        inner = inner[: step["cut"] or None]
        rest = struct.pack("!I", step["rest"])
        made = packet.icmp(source, target, step["type"], step["code"], rest, inner)
        if step.get("bad_icmp"):
            at = 43 if ":" in target else 23
            made = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        return step["side"], source, made
