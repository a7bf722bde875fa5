"""Cases of record_packets.py about the MSS clamp. IPVS has none; what an administrator of Linux would
do in its place is done by iptables, told to lower the option and to add none. Options that are
malformed before it are not in here: Linux seeks on behind them, Shunt leaves such a packet alone.
"""

import struct

import packet as p


def mss(value):
    return struct.pack("!BBH", 2, 4, value)


def clamp(c, service, size, hook, *matches):
    """matches: of handshakes whose MSS iptables shall set, in the chain of a hook."""
    c.more_args.append(f'--mss-clamp "{service} {size or "auto"}"\n')
    tables = "ip6tables-legacy" if "[" in service else "iptables-legacy"
    longer, action = f"{(size or 1280) + 1}:65535", f"--set-mss {size}" if size else "--clamp-mss-to-pmtu"
    for match in matches:
        c.sh(f"{tables} -t mangle -A {hook} -p tcp {match} --tcp-flags SYN SYN -m tcpmss --mss {longer} "
             f"-j TCPMSS {action}")  # fmt: skip


def handshakes(c, v6, port, real, options):
    """Connections that announce more, as much, less and nothing; options around the MSS."""
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    server = f"-r [{real}]:{port}" if v6 else f"-r {real}:{port}"
    c.service("t", "-s rr", f"{server} {options}", port=port, v6=v6)
    stamp, scale = struct.pack("!BBBBII", 1, 1, 8, 10, 7, 0), struct.pack("!BBBB", 1, 3, 3, 7)
    for number, words in enumerate((
        mss(1460), mss(1300), mss(1301), mss(500), b"", stamp + mss(1400) + scale, scale + mss(1460),
        mss(1460) + b"\x08\0\0\0", b"\xfe\x28\0\0",
    )):  # fmt: skip
        c.client(p.tcp(a, 4000 + number, v, port, "S", tcp_options=words))
        if options == "-m":
            c.server(1, p.tcp(real, port, a, 4000 + number, "SA", seq=7, ack=1001, tcp_options=words))
    c.client(p.tcp(a, 4000, v, port, "A", seq=1001, ack=8, tcp_options=mss(1460)))


def service_name(c, v6, port):
    return f"tcp [{c.v6}]:{port}" if v6 else f"tcp {c.v4}:{port}"


def clamped(c):
    """NAT and direct routing, a size, IPv4 and IPv6; another service is left alone."""
    for v6 in False, True:
        real = "2001:db8:1::1" if v6 else "10.1.0.1"
        for port, method in (80, "-m"), (81, "-g"):
            clamp(c, service_name(c, v6, port), 1300, "PREROUTING", f"--dport {port}", f"--sport {port}")
            handshakes(c, v6, port, real, method)
        handshakes(c, v6, 82, real, "-m")


def clamped_auto(c):
    """What the ways have room for."""
    c.mtu("lbs", 1320)
    c.mtu("lbc", 1320)
    for v6 in False, True:
        real = "2001:db8:1::1" if v6 else "10.1.0.1"
        clamp(c, service_name(c, v6, 80), None, "POSTROUTING", "--dport 80", "--sport 80")
        handshakes(c, v6, 80, real, "-m")


def clamped_tunnel(c):
    """The inner packet's option; the outer packet's checksum covers it."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.ignored.append("udp.source_port a random hash of the flow")
    c.ignored.append("udp.checksum has it in")
    tunnels = "", "--tun-type gre --tun-csum", "--tun-type gue --tun-port 6080 --tun-csum"
    for port, options in enumerate(tunnels, 81):
        clamp(c, service_name(c, False, port), 1300, "PREROUTING", f"--dport {port}")
        handshakes(c, False, port, "10.1.0.1", f"-i {options}")


CASES = [
    ("mss-clamp", clamped, "A clamped MSS, NAT and direct routing, IPv4 and IPv6 (iptables on the director)."),
    ("mss-clamp-auto", clamped_auto, "A clamped MSS by the ways' MTU, NAT (iptables on the director)."),
    ("tun-mss-clamp", clamped_tunnel, "A clamped MSS in tunnels (iptables on the director)."),
]
