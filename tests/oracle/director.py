"""A real IPVS director in a network namespace of its own (runs in the guest).

Its two wires are TAP devices that this process holds. Writing a frame to one runs it through the
kernel's stack there and then, so what a frame has caused can be read when the write returns; no
clock is involved. Raw sockets tell what IPVS left to the local stack, which hears nothing of it:
what it would answer with a virtual address as its source, IPVS would take for an answer of a directly
routed session.
"""

import ctypes
import fcntl
import ipaddress
import os
import select
import socket
import struct
import subprocess
import time

import world

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
SO_ATTACH_FILTER, DROP_ALL = 26, struct.pack("HBBI", 6, 0, 0, 0)  # BPF: return 0
LISTENED = 16
RTF_LOCAL = 0x80000000
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_INTERFACE = 10, 23, 4
PATIENCE = 20  # seconds
libc = ctypes.CDLL(None, use_errno=True)

SYSCTLS = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    "ipv4/icmp_ratemask": 0,
    "ipv4/icmp_ratelimit": 0,
    "ipv6/icmp/ratelimit": 0,
    "sctp/cookie_hmac_alg": "none",  # a listener needs no cryptography
}
SYSCTLS |= {f"ipv4/conf/{d}/{n}": 0 for d in ("all", "c", "s") for n in ("rp_filter", "send_redirects")}
# No link-local addresses: when one is found to be the only one, a second or two later, Linux looks
# all routes up again, and forgets whom IPVS's are for (remembered.py).
EARLY_SYSCTLS = {f"ipv6/conf/{d}/addr_gen_mode": 1 for d in "cs"}


def _check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run(arguments, text=None):
    """(exit status, standard output, standard error) of a program."""
    done = subprocess.run(arguments, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


class Ipvsadm:
    """One `ipvsadm -R` that carries out a line when it is told to: starting a program takes the
    guest longer than a hundred packets. What it lists comes when it ends."""

    # The kernel refuses this line, and ipvsadm goes on: the complaint says that it came so far.
    MARK, COMPLAINT = b"--stop-daemon master\n", "No daemon is running\n"

    def __init__(self):
        self._process = subprocess.Popen(
            ["ipvsadm", "-R"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def do(self, line):
        """What it complains about, "" if nothing."""
        said = ""
        try:
            self._process.stdin.write(line.encode() + b"\n" + self.MARK)
            self._process.stdin.flush()
        except BrokenPipeError:
            return "ipvsadm ended\n"
        while True:
            complaint = self._process.stderr.readline().decode()
            if complaint == self.COMPLAINT:
                return said
            if not complaint:
                return said + "ipvsadm ended\n"
            said += complaint

    def end(self, *listings):
        """Ends it after these lines; all that they print."""
        out, _ = self._process.communicate("".join(f"{x}\n" for x in listings).encode())
        return out.decode()


def _addresses():
    lines = ["link set lo up"]
    for wire in "cs":
        lines += [f"link set {wire} address {world.DIRECTOR_MAC}", f"link set {wire} up"]
    lines += [
        "addr add 192.0.2.1/24 dev c",
        "addr add 2001:db8:c::1/64 dev c nodad",
        "addr add 10.1.255.254/16 dev s",
        "addr add 2001:db8:1::fe/64 dev s nodad",
        "route add 203.0.113.0/24 dev c",
        "route add 2001:db8:cafe::/64 dev c",
    ]
    for family, address, _ in world.virtual_addresses():
        lines.append(f"addr add {address}" + ("/32 dev lo" if family == 4 else "/128 dev lo nodad"))
    for wire, address in world.people():
        lines.append(f"neigh add {address} lladdr {world.mac_of(address)} dev {wire} nud permanent")
    return "\n".join(lines) + "\n"


def _marks():
    """tc's lines that mark what clients send to marked addresses."""
    lines = ["qdisc add dev c clsact"]
    for family, address, mark in world.virtual_addresses():
        for protocol in world.marked_protocols(mark) if mark else ():
            of = f"ip_proto {protocol} " if protocol else ""
            match = f"{'ip' if family == 4 else 'ipv6'} flower {of}dst_ip {address}"
            lines.append(f"filter add dev c ingress protocol {match} action skbedit mark {mark}")
    return "\n".join(lines) + "\n"


def _deaf_socket(protocol, port):
    """A server on every address that gets nothing, so that the local stack answers nothing."""
    kind = socket.SOCK_DGRAM if protocol == socket.IPPROTO_UDP else socket.SOCK_STREAM
    deaf = socket.socket(socket.AF_INET6, kind, protocol)
    deaf.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    _learn_no_mtu(deaf)
    code = ctypes.create_string_buffer(DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    deaf.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    deaf.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        deaf.listen(LISTENED)
    return deaf


def _learn_no_mtu(own):
    """An ICMP error that is left to the local stack is about no packet of this socket's, whose path's
    MTU Linux would remember for all that goes there, IPVS's packets too."""
    if own.family == socket.AF_INET6:
        own.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_INTERFACE)
    if own.family == socket.AF_INET or own.type != socket.SOCK_RAW:
        own.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_INTERFACE)


def _is_noise(frame):
    """ARP, neighbour discovery and multicast listening, which IPv6 does by itself."""
    if frame[12:14] != b"\x86\xdd":
        return frame[12:14] != b"\x08\x00"
    if frame[20] == 0:  # hop-by-hop options; of multicast listening in front of ICMPv6
        return frame[54] == 58
    return frame[20] == 58 and frame[54] >= 130


class Director:
    """Enters a new namespace; enter() comes back to it later."""

    def __init__(self):
        _check(libc.unshare(CLONE_NEWNET))
        self._taps = {wire: self._tap(wire) for wire in "cs"}
        self._set(EARLY_SYSCTLS)
        for program, lines in ("ip", _addresses()), ("tc", _marks()):
            status, _, said = run([program, "-batch", "-"], lines)
            if status:
                raise OSError(said)
        self._set(SYSCTLS)
        self._raw = {}
        for family in socket.AF_INET, socket.AF_INET6:
            for protocol in 1, 6, 17, 47, 50, 51, 58, 132:
                raw = socket.socket(family, socket.SOCK_RAW, protocol)
                raw.setblocking(False)
                _learn_no_mtu(raw)
                # Of an ICMP error about a tunnel's packet they must not learn the path's MTU in the
                # kernel's stead (raw_err): those come from the servers' side.
                if protocol not in (1, 58):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"c")
                self._raw[raw.fileno()] = raw
        self._deaf = [
            _deaf_socket(protocol, port)
            for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP)
            for port in (*world.SERVICE_PORTS, *world.OTHER_PORTS, world.FTP_PORT, world.ISAKMP_PORT, world.SIP_PORT)
        ]
        self._await_addresses()
        self._watch = select.epoll()
        for descriptor in [*self._taps.values(), *self._raw]:
            self._watch.register(descriptor, select.EPOLLIN)
        self._wire_of = {tap: wire for wire, tap in self._taps.items()}
        self._gather()

    @staticmethod
    def _set(sysctls):
        for name, value in sysctls.items():
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                file.write(str(value))

    def _tap(self, name):
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        return tap

    def _await_addresses(self):
        """A worker of Linux's makes IPv6 addresses local; that may take it a while."""
        wanted = {ipaddress.ip_address(a).packed.hex() for f, a, _ in world.virtual_addresses() if f == 6}
        for _ in range(PATIENCE * 100):
            with open("/proc/self/net/ipv6_route", encoding="ascii") as file:
                rows = [line.split() for line in file]
            if wanted <= {row[0] for row in rows if int(row[8], 16) & RTF_LOCAL}:
                return
            time.sleep(0.01)
        raise OSError("IPv6 addresses do not become local")

    def send(self, wire, frame):
        """Puts a frame on a wire; ([(wire, frame that came out)], copies for the local stack):
        packets of IPv4, what is behind the headers of IPv6."""
        self._gather()  # what Linux sends late is nobody's: that a neighbour did not answer
        os.write(self._taps[wire], frame)
        return self._gather()

    def _gather(self):
        out, local = [], []
        while ready := self._watch.poll(0):
            for descriptor, _ in ready:
                if raw := self._raw.get(descriptor):
                    local.append(raw.recv(65535))
                    continue
                frame = os.read(descriptor, 65535)
                if not _is_noise(frame):
                    out.append((self._wire_of[descriptor], frame))
        return out, local
