"""What tunnels put around a packet: the second opinion (see fates.py). Sources: RFC 2003, 2473, 4213,
2784, 3168 section 9.1.1; draft-ietf-intarea-gue; ip_vs_tunnel_xmit of Linux 6.1.
"""

import struct
from dataclasses import dataclass

import packet as p

GUE_PORT = 6080
NEAR = "192.0.2.1", "2001:db8::1"  # shunt-replay's


@dataclass(frozen=True)
class Tunnel:
    kind: str  # ipip, gre or gue
    checksum: bool = False
    options: str = ""

    def overhead(self, outer_six):
        """Bytes that a packet grows by."""
        shim = {"ipip": 0, "gre": 8 if self.checksum else 4, "gue": 12}[self.kind]
        return shim + (40 if outer_six else 20)


ALL = [
    Tunnel("ipip", False, "--tun-type ipip"),
    Tunnel("gre", False, "--tun-type gre"),
    Tunnel("gre", True, "--tun-type gre --tun-csum"),
    Tunnel("gue", False, f"--tun-type gue --tun-port {GUE_PORT}"),
    Tunnel("gue", True, f"--tun-type gue --tun-port {GUE_PORT} --tun-csum"),
    Tunnel("gue", True, f"--tun-type gue --tun-port {GUE_PORT} --tun-remcsum"),
]


def _inside(packet):
    """The packet as it is in the tunnel: one hop further."""
    out = bytearray(packet)
    if out[0] >> 4 == 6:
        out[7] -= 1
        return bytes(out)
    out[8] -= 1
    out[10:12] = b"\0\0"
    out[10:12] = struct.pack("!H", p.checksum(bytes(out[: (out[0] & 15) * 4])))
    return bytes(out)


def _between(tunnel, shim, protocol, source, destination):
    """Sentences about what stands between the outer header and the packet; protocol is that of the
    outer header."""
    six = shim.inner[0] >> 4 == 6
    inner, out = 41 if six else 4, []
    if tunnel.kind == "ipip":
        return [] if protocol == inner else [f"the outer header says protocol {protocol}"]
    if tunnel.kind == "gre":
        head = struct.pack("!HH", 0x8000 * tunnel.checksum, 0x86DD if six else 0x0800)
        if protocol != 47 or shim.head[:4] != head:
            out.append(f"protocol {protocol}, GRE {shim.head[:4].hex()}")
        if tunnel.checksum and (p.ones_sum(shim.head + shim.inner) != 0xFFFF or shim.head[6:] != b"\0\0"):
            out.append("GRE's checksum is wrong")
        return out
    source_port, port, length, value = struct.unpack_from("!HHHH", shim.head)
    if (protocol, port, length) != (17, GUE_PORT, 12 + len(shim.inner)) or not 32768 <= source_port < 60999:
        out.append(f"protocol {protocol}, UDP {shim.head[:8].hex()}")
    if shim.head[8:] != struct.pack("!BBH", 0, inner, 0):
        out.append(f"GUE {shim.head[8:].hex()}")
    whole = shim.head + shim.inner
    pseudo = p.pseudo_header(source, destination, p.UDP, len(whole))
    if (p.ones_sum(pseudo + whole) == 0xFFFF and value != 0) != tunnel.checksum or not tunnel.checksum and value:
        out.append("UDP's checksum is wrong")
    return out


@dataclass
class Shim:
    head: bytes
    inner: bytes


def moved(frame, got, fate):
    """Sentences about how `got` differs from what the tunnel makes of `frame`, padding left out."""
    service, tunnel, packet, out = fate.service, fate.service.tunnel, frame[14:], []
    six = len(service.server) == 16
    outer = 40 if six else 20
    start = 14 + tunnel.overhead(six)
    inner = _inside(packet)
    if len(got) != start + len(inner):
        return [f"{len(got)} bytes instead of {start + len(inner)}"]
    if got[:6] != b"\2\0" + service.server[-4:] or got[12:14] != (b"\x86\xdd" if six else b"\x08\0"):
        out.append(f"Ethernet {got[:14].hex()}")
    if got[start:] != inner:
        out.append("the packet inside has changed")
    f = p.dissect(got)
    inner_six = packet[0] >> 4 == 6
    (word,) = struct.unpack_from("!I", packet)
    tos, hops = (word >> 20 & 0xFF, inner[7]) if inner_six else (packet[1], inner[8])
    if tos & 3 == 3:
        tos -= 1
    df = not inner_six and bool(packet[6] & 0x40) and fate.fragments == 1
    ip = "ip6" if six else "ip"
    wanted = {f"{ip}.source": NEAR[six], f"{ip}.destination": p.address_text(service.server)}
    if six:
        wanted |= {"ip6.traffic_class": f"{tos:02x}", "ip6.flow_label": "00000", "ip6.hop_limit": hops}
        wanted["ip6.payload_length"] = len(got) - 54
    else:
        wanted |= {"ip.tos": f"{tos:02x}", "ip.ttl": hops, "ip.checksum_valid": True}
        wanted |= {"ip.flags": "010" if df else "000", "ip.total_length": len(got) - 14}
    out += [f"{k}: expected {v}, got {f.get(k)}" for k, v in wanted.items() if f.get(k) != v]
    protocol = got[20] if six else got[23]
    source, destination = (got[22:38], got[38:54]) if six else (got[26:30], got[30:34])
    shim = Shim(got[14 + outer : start], got[start:])
    return out + _between(tunnel, shim, protocol, source, destination)
