#!/usr/bin/env python3
"""Records the golden packet cases from a real IPVS: record_packets.py OUTPUT [CASE...].

Needs root on a machine whose kernel has ip_vs, in a network namespace of its own, with ip and
ipvsadm. The cases in packets/ were recorded on Linux 6.1.176 with ipvsadm 1.31. It stands around
the director as its wire:

    clients, behind 192.0.2.254 / 2001:db8:c::fe      MAC 02:00:00:00:00:fe
        | lbc 192.0.2.1/24, 2001:db8:c::1/64          MAC 02:5b:00:00:00:01
    director; every virtual address is on lo
        | lbs 10.1.0.254/16, 2001:db8:1::fe/64        MAC 02:5b:00:00:00:01
    servers 10.1.0.N / 2001:db8:1::N                  MAC 02:00:0a:01:00:0N / 02:00:00:00:00:0N

Every step says what it expects to become of its packet (OUT, KERNEL or a drop reason): the
recording cannot tell a packet that IPVS left to the local stack from one it handled. What came out
is checked against that. Frame times are the real ones, in milliseconds from the first frame.
"""

import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

import packet as p
import pcap
import record_families
import record_mixes
import record_more
import record_mss
import record_schedulers
import record_sip_ftp

DIRECTOR, GATEWAY = "02:5b:00:00:00:01", "02:00:00:00:00:fe"
OUT, KERNEL = "out", "kernel"
EITHER = "either"  # out, refused (no_server) or dropped (server_removed): the recording tells
sockets = {}


def sh(command, check=True):
    done = subprocess.run(
        command, shell=True, encoding="latin-1", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if check and done.returncode:
        sys.exit(f"{command}: {done.returncode} {done.stdout}")
    return done.stdout


def set_up():
    sh(
        f"""set -e
    ip netns add wire
    ip link add lbc address {DIRECTOR} type veth peer name c0 netns wire
    ip link add lbs address {DIRECTOR} type veth peer name s0 netns wire
    ip addr add 192.0.2.1/24 dev lbc; ip addr add 10.1.0.254/16 dev lbs
    ip -6 addr add 2001:db8:c::1/64 dev lbc nodad; ip -6 addr add 2001:db8:1::fe/64 dev lbs nodad
    ip link set lbc up; ip link set lbs up
    ip -n wire link set c0 address {GATEWAY}; ip -n wire link set c0 up promisc on
    ip -n wire link set s0 up promisc on
    ip neigh add 192.0.2.254 lladdr {GATEWAY} dev lbc
    ip -6 neigh add 2001:db8:c::fe lladdr {GATEWAY} dev lbc
    ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8:c::fe dev lbc
    for n in 100 101 102; do ip route add local 198.51.$n.0/24 dev lo; done
    ip -6 route add local 2001:db8:e::/48 dev lo
    for n in 1 2 3 4 5 6 9; do
      ip neigh add 10.1.0.$n lladdr 02:00:0a:01:00:0$n dev lbs
      ip -6 neigh add 2001:db8:1::$n lladdr 02:00:00:00:00:0$n dev lbs
    done
    cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding
    echo 0 >ipv4/icmp_ratelimit; echo 0 >ipv6/icmp/ratelimit
    for d in all lbc lbs; do
      echo 0 >ipv4/conf/$d/rp_filter; echo 0 >ipv4/conf/$d/send_redirects
    done
    """
    )
    for device in b"lbc", b"lbs":  # no checksum offload: frames would show partial checksums
        value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM
        with socket.socket() as s:
            fcntl.ioctl(s, 0x8946, struct.pack("16sP", device, ctypes.addressof(value)))
    libc = ctypes.CDLL(None, use_errno=True)
    here, wire = os.open("/proc/self/ns/net", 0), os.open("/run/netns/wire", 0)
    libc.setns(wire, 0)
    for device in "c0", "s0":
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((device, 0))
        s.setblocking(False)
        sockets[device] = s
    libc.setns(here, 0)


def received(device, wait):
    """All frames the director put on the device, without ARP and neighbour discovery."""
    out, end = [], time.monotonic() + wait
    while True:
        try:
            frame, where = sockets[device].recvfrom(65535)
        except BlockingIOError:
            if time.monotonic() >= end:
                return out
            time.sleep(0.002)
            continue
        if where[2] == socket.PACKET_OUTGOING or frame[12:14] == b"\x08\x06":
            continue
        if frame[12:14] == b"\x86\xdd" and (
            frame[20] == 0 and frame[54] == 58 or frame[20] == 58 and frame[54] >= 130
        ):
            continue
        out.append(frame)
        end = time.monotonic() + 0.01


class Case:
    """One directory of packets/: commands and packets in, packets and the table out."""

    number = 0
    sh = staticmethod(sh)

    def __init__(self, name, about, more_clients=()):
        Case.number += 1
        sh("ipvsadm -C")
        self.name, self.about = name, about
        self.v4, self.v6 = f"198.51.100.{Case.number}", f"2001:db8:f::{Case.number:x}"
        self.a4, self.a6 = f"203.0.113.{Case.number}", f"2001:db8:cafe::{Case.number:x}"
        sh(f"ip -6 addr add {self.v6}/128 dev lo nodad")
        self.marks, self.virtuals = [], []  # rules of marks; addresses besides the case's own
        for tables in "iptables-legacy", "ip6tables-legacy":
            sh(f"{tables} -t mangle -F", False)
        self.neighbours = [self.a4, self.a6, *more_clients]
        self.rules, self.at, self.sent, self.wanted = [], {}, [], []
        self.made, self.sessions, self.start = [], [], None
        self.ignored = []  # lines of the file "ignore"
        self.listings = []  # words of listings to be compared, as they are after all
        self.said = {}  # words of listings to be compared, and what they were
        self.turned = {}  # sysctls that are not at their defaults, with those
        self.mtus = {}
        self.more_args = []  # options of shunt-replay
        self.counts = {"packets_kernel": 0, "generated": 0, "absorbed": 0, "dropped": {}}

    def now(self):
        """Milliseconds since the first frame."""
        if self.start is None:
            self.start = time.monotonic()
        return round((time.monotonic() - self.start) * 1000)

    def command(self, line):
        """A line of ipvsadm-save, run at once."""
        done = sh("ipvsadm " + line, False)
        if done:
            sys.exit(f"{self.name}: ipvsadm {line}: {done}")
        if self.start is None:
            self.rules.append(line)
            return
        time.sleep(0.01)
        self.at.setdefault(self.now(), []).append(line)
        time.sleep(0.01)

    @staticmethod
    def turn(knob, value):
        """Sets /proc/sys/net/ipv4/vs/KNOB; returns what it was."""
        with open(f"/proc/sys/net/ipv4/vs/{knob}", "r+", encoding="ascii") as file:
            before = int(file.read())
            file.seek(0)
            file.write(f"{value}\n")
        return before

    def knob(self, name, value):
        """A sysctl of IPVS; Shunt's rules files have a line for it. finish() resets it."""
        self.turned.setdefault(name, self.turn(name, value))
        line = f"--sysctl {name}={value}"
        if self.start is None:
            self.rules.append(line)
        else:
            self.at.setdefault(self.now(), []).append(line)
            time.sleep(0.01)

    def mark(self, rule):
        """A rule of shunt-replay --mark; iptables' own, whose last match counts, in front."""
        number, *words = rule.split()
        parts = dict(zip(words[::2], words[1::2]))
        tables, match = "iptables-legacy ip6tables-legacy", ""
        for word, option in ("proto", "-p"), ("from", "-s"), ("to", "-d"), ("ports", "--dport"):
            if word in parts:
                match += f" {option} {parts[word].replace('-', ':')}"
            if word in ("from", "to") and word in parts:
                tables = "ip6tables-legacy" if ":" in parts[word] else "iptables-legacy"
        for table in tables.split():
            sh(f"{table} -t mangle -I PREROUTING {match} -i lbc -j MARK --set-mark {number}")
        self.marks.append(rule)

    def mark_service(self, mark, options, *servers, v6=False):
        where = f"-f {mark}" + (" -6" if v6 else "")
        self.command(f"-A {where} {options}")
        for server in servers:
            self.command(f"-a {where} {server} -w 1")

    def service(self, kind, options, *servers, port=80, v6=False, vip=None):
        vip = vip or (self.v6 if v6 else self.v4)
        option = f"-{kind}" if len(kind) == 1 else f"--{kind}"
        where = f"{option} " + (f"[{vip}]:{port}" if v6 else f"{vip}:{port}")
        self.command(f"-A {where} {options}")
        for server in servers:
            self.command(f"-a {where} {server} -w 1")

    def fragments(self, server, *packets, out=0, lost=0, reason=None, merged=None, answered=False):
        """Fragments of a client, or of the server with the given number. Of the packets, `lost` are
        dropped for a reason, a whole one among them counted as one; `merged` fragments became part of
        another, and `out` frames left (None: the recording tells), of which the first answers if told
        so."""
        device, other, mac = ("s0", "c0", None) if server else ("c0", "s0", GATEWAY)
        if server:
            six = packets[0][0] >> 4 == 6
            mac = f"02:00:00:00:00:0{server}" if six else f"02:00:0a:01:00:0{server}"
        for packet in packets:
            self.sent.append((self.now(), p.ethernet(DIRECTOR, mac, packet)))
            sockets[device].send(self.sent[-1][1])
            time.sleep(0.005)
        came = received(device if answered else other, 0.05)
        came += received(other if answered else device, 0.01)
        if out is None and came:
            out = len(came)
        if len(came) != out:
            sys.exit(f"{self.name}, packet {len(self.sent)}: {[p.summary(f) for f in came]}")
        if merged is None:
            merged = len(packets) - lost - 1 if out else 0
        if lost:
            self.counts["dropped"].setdefault(reason, 0)
            self.counts["dropped"][reason] += lost
        self.counts["absorbed"] += merged
        if out or lost:  # else they wait
            self.counts["generated"] += out + merged + lost - len(packets)
        if answered:
            self.made.append(len(self.wanted))
        self.wanted += [(self.sent[-1][0], frame) for frame in came]

    def _step(self, device, other, frames, outcome, out=None, answered=True):
        """out: how many frames leave, if the packet is cut."""
        times = []
        for frame in frames:
            times.append(self.now())
            self.sent.append((times[-1], frame))
            sockets[device].send(frame)
            if len(frames) > 1:
                time.sleep(0.005)
        came = received(other, 0.05)
        came += received(device, 0.01)
        if out is not None and outcome == OUT:
            if len(came) != out:
                sys.exit(f"{self.name}, packet {len(self.sent)}: {[p.summary(f) for f in came]}")
            if out:
                self.counts["absorbed"] += len(times) - 1
                self.counts["generated"] += out - 1
            self.wanted += [(times[-1], frame) for frame in came]
            return
        self._judge(outcome, times, came, answered)

    def _judge(self, outcome, times, came, answered=True):
        def wrong(why):
            sys.exit(f"{self.name}, packet {len(self.sent)}: {why}: {[p.summary(f) for f in came]}")

        if outcome == KERNEL:
            self.counts["packets_kernel"] += len(times)
            return
        if outcome == EITHER:
            refused = len(came) == 1 and p.summary(came[0]).startswith("icmp")
            outcome = "no_server" if refused else OUT if came else "server_removed"
        if outcome == OUT:
            if len(came) != len(times):
                wrong("expected as many frames out as in")
        else:
            self.counts["dropped"].setdefault(outcome, 0)
            self.counts["dropped"][outcome] += 1
            errors = [x for x in came if p.summary(x).startswith("icmp")]
            due = answered and outcome in (
                "no_server", "hop_limit", "no_session", "too_big", "tunnel_error",
            )  # fmt: skip
            if len(came) != len(errors) or len(came) != due:
                wrong("expected one ICMP error, or nothing")
            self.counts["generated"] += len(came)
            self.made += [len(self.wanted)] * len(came)
        self.wanted += list(zip(times, came))

    def client(self, *packets, outcome=OUT, out=None, answered=True):
        frames = [p.ethernet(DIRECTOR, GATEWAY, x) for x in packets]
        self._step("c0", "s0", frames, outcome, out, answered)

    def foreign(self, packet):
        """A client's packet to somebody else's MAC address."""
        frame = p.ethernet("02:00:00:00:00:77", GATEWAY, packet)
        self._step("c0", "s0", [frame], "foreign_mac")

    def server(self, number, *packets, outcome=OUT, out=None):
        six = packets[0][0] >> 4 == 6
        mac = f"02:00:00:00:00:0{number}" if six else f"02:00:0a:01:00:0{number}"
        frames = [p.ethernet(DIRECTOR, mac, x) for x in packets]
        self._step("s0", "c0", frames, outcome, out)

    def mtu(self, device, value):
        """Of the way to clients (lbc) or servers (lbs); shunt-replay has one for both. finish()
        resets it."""
        sh(f"ip link set {device} mtu {value}")
        self.mtus[device] = value

    def look(self, *, port=None):
        """Notes the connection table's rows of this case (of one client port if given)."""
        at, virtuals = self.now(), [f"{address}:" for address in self.virtuals]
        for line in sh("ipvsadm -Lnc --persistent-conn").splitlines()[2:]:
            protocol, expires, state, client, virtual, server, *engine = line.split()
            marks = [int(rule.split()[0]) for rule in self.marks]
            templates = {t for m in marks for t in (f"0.0.0.{m}:0", f"[0:{m:x}::]:0")}
            if not virtual.startswith((self.v4 + ":", f"[{self.v6}]:", *virtuals)) and virtual not in templates:
                continue
            if port is not None and not client.endswith(f":{port}"):
                continue
            minutes, seconds = expires.split(":")
            row = dict(protocol=protocol, state=state, client=client, virtual=virtual)
            row.update(server=server, seconds_left=int(minutes) * 60 + int(seconds))
            if engine:
                row.update(persistence_engine=engine[0], persistence_data=engine[1])
            self.sessions.append({**row, "at": at / 1000})

    def list(self, words):
        """Notes what ipvsadm says to these words."""
        self.said[words] = sh("ipvsadm " + words).splitlines()

    def counters(self):
        """Rows of ipvsadm --stats, after the kernel's estimator has copied them (2 s)."""
        time.sleep(2.3)
        names = "connections", "in_packets", "out_packets", "in_bytes", "out_bytes"
        rows, service = [], None
        for line in sh("ipvsadm -Ln --stats --exact").splitlines()[3:]:
            words = line.split()
            if words[0] == "->":
                row = dict(service=service, server=words[1])
            else:
                service = f"{words[0]} {words[1]}"
                if words[2] == "IPv6":  # of a mark service
                    service += " " + words.pop(2)
                row = dict(service=service, server=None)
            rows.append({**row, **dict(zip(names, map(int, words[2:])))})
        return rows

    def finish(self, folder, look=True):
        if look:
            self.look()
        for knob, value in self.turned.items():
            self.turn(knob, value)
        for device in self.mtus:
            sh(f"ip link set {device} mtu 1500")
        sh("ipvsadm --set 900 120 300")
        at = os.path.join(folder, self.name)
        shutil.rmtree(at, ignore_errors=True)
        os.makedirs(at)

        def put(name, text):
            with open(os.path.join(at, name), "w", encoding="ascii") as file:
                file.write(text)

        def frames(name, rows):
            rows = [pcap.packet(ms / 1000, frame) for ms, frame in rows]
            pcap.write(os.path.join(at, name), rows)

        frames("in.pcap", self.sent)
        frames("expected.pcap", self.wanted)
        put("rules", "\n".join(self.rules) + "\n")
        for ms, lines in self.at.items():
            put(f"at-{ms / 1000:.3f}.rules", "\n".join(lines) + "\n")
        args = [f"--neighbour {a}={GATEWAY}\n" for a in self.neighbours]
        args += [f'--mark "{rule}"\n' for rule in self.marks]
        if self.mtus:
            args += [f"--mtu {min(self.mtus.values())}\n"]
        if self.name.startswith("nat-icmp-send") or any(" -i" in rule for rule in self.rules):
            args += ["--local 10.1.0.254\n", "--local 2001:db8:1::fe\n"]
        put("args", "".join(args + self.more_args))
        put("README", self.about + "\n")
        if self.ignored:
            put("ignore", "\n".join(self.ignored) + "\n")
        wanted = dict(packets_in=len(self.sent), packets_out=len(self.wanted), **self.counts)
        wanted.update(held_at_end=0, generated_frames=self.made)
        head = json.dumps(wanted, indent=1)[:-2]
        for name, rows in ("sessions", self.sessions), ("counters", self.counters()):
            head += f',\n "{name}": [' + ",".join("\n  " + json.dumps(r) for r in rows) + "\n ]"
        for words in self.listings:
            self.list(words)
        if said := self.said:
            head += f',\n "listings": {json.dumps(said, indent=1)}'
        put("expected.json", head + "\n}\n")


def forwarding(c, mode, v6):
    """A TCP connection, a UDP exchange, ToS, TTL 1, a full frame, a reset."""
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    s = "2001:db8:1::1" if v6 else "10.1.0.1"
    nat = mode == "-m"
    port = 8080 if nat else 80
    real = f"-r [{s}]:{port} {mode}" if v6 else f"-r {s}:{port} {mode}"

    def client(*args, outcome=OUT, **more):
        c.client(p.tcp(a, 4000, v, 80, *args, **more), outcome=outcome)

    def server(flags, **more):
        if nat:
            c.server(1, p.tcp(s, 8080, a, 4000, flags, **more))

    c.service("t", "-s rr", real, v6=v6)
    client("S", ttl=64, tos=0x10)
    server("SA", seq=7, ack=1001, tos=0x20, ident=0x77)
    client("A", seq=1001, ack=8)
    client("PA", data=b"hello", seq=1001, ack=8, df=False, ident=0xABCD)
    client("A", seq=1006, ack=8, ttl=1, outcome="hop_limit")
    client("A", seq=1006, ack=8, ttl=2)
    client("A", data=b"z" * (1500 - (60 if v6 else 40)), seq=1006, ack=8)
    client("A", data=b"odd", seq=1006, ack=8, df=False)
    server("FA", seq=8, ack=1006)
    client("FA", seq=1006, ack=9)
    server("A", seq=9, ack=1007)
    if nat:
        client("S", seq=5000)  # a new SYN on the closed connection
    else:
        client("A", seq=1007, ack=10)
    c.client(p.tcp(a, 4001, v, 80, "S"))
    c.client(p.tcp(a, 4001, v, 80, "R", seq=1001))
    c.service("u", "-s rr", real, v6=v6)
    c.client(p.udp(a, 5000, v, 80, b"ping"))
    if nat:
        c.server(1, p.udp(s, 8080, a, 5000, b"pong"))
        if not v6:
            c.client(p.udp(a, 5001, v, 80, b"no checksum", no_sum=True))
            c.server(1, p.udp(s, 8080, a, 5001, b"none", no_sum=True))


SEQUENCES = (
    "cS|cS sSA|cS sSA cA|cS cA|cS sSA cA cFA|cS sSA cA cFA sFA|cS sSA cA cFA sA sFA cA|"
    "cS sSA cA sFA|cS sSA cA sFA cFA|cS sSA cA sFA cA cFA|cS sSA cA sFA cA cFA sA|cS sSA cA sR|"
    "cS sSA cA cR|cS sR|cS sRA|cS cR|cS cFA|cS cFA cA|cS cA cFA cA|cS cA cFA cS|cS cA cS|"
    "cS sSA cA cR cS|cS sSA cA cFA sFA cA cS"
).split("|")


def states(c, mode):
    c.service("t", "-s rr", f"-r 10.1.0.1:80 {mode}")
    port = 6000
    for sequence in SEQUENCES:
        if mode == "-g" and " s" in sequence:
            continue
        port += 1
        for step in sequence.split():
            if step[0] == "c":
                c.client(p.tcp(c.a4, port, c.v4, 80, step[1:]))
            else:
                c.server(1, p.tcp("10.1.0.1", 80, c.a4, port, step[1:]))
        c.look(port=port)


def icmp_errors(c):
    a, v, router = c.a4, c.v4, "192.0.2.254"
    c.service("t", "-s rr", "-r 10.1.0.1:8080 -m")
    c.service("u", "-s rr", "-r 10.1.0.1:8080 -m")
    c.client(p.icmp(a, v, 8, 0, b"\0\7\0\1", b"echo body"), outcome=KERNEL)
    c.client(p.tcp(a, 4000, v, 80, "S"))
    c.server(1, p.tcp("10.1.0.1", 8080, a, 4000, "SA", seq=7, ack=1001))
    inner = p.tcp(v, 80, a, 4000, "A", seq=8, ack=1001)
    c.client(p.icmp(router, v, 3, 4, struct.pack("!HH", 0, 1400), inner[:28]))
    c.client(p.icmp(router, v, 3, 1, body=inner))
    c.client(p.icmp(router, v, 11, 0, body=inner[:28]))
    c.client(p.icmp(router, v, 4, 0, body=inner[:28]))
    c.client(p.icmp(router, v, 12, 0, body=inner[:28]), outcome=KERNEL)
    stranger = p.tcp(v, 80, a, 4999, "A")[:28]
    c.client(p.icmp(router, v, 3, 1, body=stranger), outcome=KERNEL)
    c.client(p.udp(a, 5000, v, 80, b"ping"))
    about = p.udp(a, 5000, "10.1.0.1", 8080, b"ping")
    c.server(1, p.icmp("10.1.0.1", a, 3, 3, body=about))
    c.server(9, p.icmp("10.1.0.9", a, 3, 1, body=about))
    c.server(1, p.icmp("10.1.0.1", a, 8, 0, b"\0\7\0\1", b"x"), outcome=KERNEL)


def icmp_errors_v6(c):
    a, v, router, s = c.a6, c.v6, "2001:db8:c::fe", "2001:db8:1::1"
    c.service("t", "-s rr", f"-r [{s}]:8080 -m", v6=True)
    c.service("u", "-s rr", f"-r [{s}]:8080 -m", v6=True)
    c.client(p.icmp(a, v, 128, 0, b"\0\7\0\1", b"echo body"), outcome=KERNEL)
    c.client(p.tcp(a, 4000, v, 80, "S"))
    inner = p.tcp(v, 80, a, 4000, "A", seq=8, ack=1001)
    c.client(p.icmp(router, v, 2, 0, struct.pack("!I", 1400), inner))
    c.client(p.icmp(router, v, 1, 0, body=inner))
    c.client(p.icmp(router, v, 3, 0, body=inner))


def icmp_errors_dr(c):
    """Errors about a directly routed connection go to its server unchanged."""
    c.service("t", "-s rr", "-r 10.1.0.1:80 -g")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    inner = p.tcp(c.v4, 80, c.a4, 4000, "A", seq=8, ack=1001)
    too_big = struct.pack("!HH", 0, 1400)
    c.client(p.icmp("192.0.2.254", c.v4, 3, 4, too_big, inner[:28]))


def no_backends(c):
    for kind in "tu":
        c.service(kind, "-s rr")
        c.service(kind, "-s rr", v6=True)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"), outcome="no_server")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A"), outcome=KERNEL)
    c.client(p.udp(c.a4, 5000, c.v4, 80), outcome="no_server")
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S"), outcome="no_server")
    c.client(p.udp(c.a6, 5000, c.v6, 80), outcome="no_server")


def no_service(c):
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    c.client(p.tcp(c.a4, 4000, c.v4, 81, "S"), outcome=KERNEL)
    c.client(p.udp(c.a4, 5000, c.v4, 81), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4000, "198.51.100.200", 81, "S"), outcome=KERNEL)
    c.client(p.icmp(c.a4, c.v4, 17, 0, body=b"\0" * 4), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))


def non_syn(c):
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    port = 4000
    for flags in "A", "PA", "FA", "R", "RA", "":
        port += 1
        c.client(p.tcp(c.a4, port, c.v4, 80, flags), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4010, c.v4, 80, "SA"))
    c.client(p.tcp(c.a4, 4011, c.v4, 80, "SF"))
    c.client(p.tcp(c.a4, 4012, c.v4, 80, "SR"), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4010, c.v4, 80, "A", seq=1001))


def quiesce(c):
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.command(f"-e -t {c.v4}:80 -r 10.1.0.1:80 -m -w 0")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"), outcome="no_server")
    c.command(f"-e -t {c.v4}:80 -r 10.1.0.1:80 -m -w 1")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))


def overload(c):
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m -x 1")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"), outcome="no_server")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))


def thresholds(c):
    """Two services, one server each, of which one has a lower threshold too; sessions of 2 s."""
    sh("ipvsadm --set 900 120 2")
    c.rules.append("--set 900 120 2")
    c.service("u", "-s rr", "-r 10.1.0.1:80 -m -x 4", port=80)
    c.service("u", "-s rr", "-r 10.1.0.2:80 -m -x 4 -y 2", port=81)

    def both(*ports, one="out", two="out"):
        for source in ports:
            c.client(p.udp(c.a4, source, c.v4, 80), outcome=one)
            c.client(p.udp(c.a4, source, c.v4, 81), outcome=two)

    def at(seconds):
        time.sleep(max(0, seconds - c.now() / 1000))

    both(5000, 5001, 5002, 5003)
    both(5004, one="no_server", two="no_server")
    at(1.3)
    both(5000, 5001, 5002)
    at(2.9)  # three are left: not below three quarters
    both(5004, one="no_server", two="no_server")
    both(5000, 5001)
    at(4.2)  # two are left
    both(5004, two="no_server")
    both(5000)
    at(5.6)  # one is left of the second
    c.command("--set 900 120 60")
    both(5006)
    for port, options in (80, "-x 2"), (81, "-x 5"):
        server = port - 79
        c.command(f"-e -u {c.v4}:{port} -r 10.1.0.{server}:80 -m -w 1 {options}")
    both(5007, one=OUT)
    both(5008, one="no_server")
    for port, options in (80, "-x 2"), (81, ""):
        server = port - 79
        c.command(f"-d -u {c.v4}:{port} -r 10.1.0.{server}:80")
        c.command(f"-a -u {c.v4}:{port} -r 10.1.0.{server}:80 -m -w 1 {options}")
    both(5009, one="no_server")  # who is added again is what he was
    c.look()
    sh("ipvsadm --set 900 120 300")


def removed_server(c):
    c.service("u", "-s rr", "-r 10.1.0.2:80 -m")  # stays, or IPVS would unhook itself below
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    where = f"-t {c.v4}:80"

    def again(outcome):
        c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001), outcome=outcome)

    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    again(OUT)
    c.command(f"-d {where} -r 10.1.0.1:80")
    again("server_removed")
    again("server_removed")
    c.command(f"-a {where} -r 10.1.0.1:80 -m -w 1")
    again(OUT)
    c.command(f"-D {where}")
    again("server_removed")


def one_packet(c):
    c.service("u", "-s rr -o", "-r 10.1.0.1:53 -m", "-r 10.1.0.2:53 -m", port=53)
    for _ in range(4):
        c.client(p.udp(c.a4, 5000, c.v4, 53))
    c.server(1, p.udp("10.1.0.1", 53, c.a4, 5000, b"answer"), outcome=KERNEL)


def one_packet_more(c):
    """-o with direct routing, over IPv6, without servers, full, over an old session, with -p."""
    six = "-r [2001:db8:1::1]:80 -m", "-r [2001:db8:1::2]:80 -m"
    two = "-r 10.1.0.1:80 -m", "-r 10.1.0.2:80 -m"
    c.service("u", "-s rr -o", "-r 10.1.0.1:80 -g", "-r 10.1.0.2:80 -g")
    c.service("u", "-s rr -o", *six, v6=True)
    c.service("u", "-s rr -o", port=54)
    c.service("u", "-s rr -o", "-r 10.1.0.1:80 -m -x 1", port=55)
    c.service("u", "-s rr", *two, port=56)
    c.service("u", "-s rr -o -p 60", *two, port=57)
    for _ in range(3):
        c.client(p.udp(c.a4, 5000, c.v4, 80))
        c.client(p.udp(c.a6, 5000, c.v6, 80))
        c.client(p.udp(c.a4, 5000, c.v4, 54), outcome="no_server")
        c.client(p.udp(c.a4, 5000, c.v4, 55, b"x" * 20))
        c.client(p.udp(c.a4, 5000, c.v4, 57))
    c.client(p.udp(c.a4, 5001, c.v4, 57))
    stranger = p.udp(c.v4, 55, c.a4, 5000, b"answer")
    c.client(p.icmp("192.0.2.254", c.v4, 3, 3, body=stranger), outcome=KERNEL)
    c.client(p.udp(c.a4, 5000, c.v4, 56))
    c.command(f"-E -u {c.v4}:56 -s rr -o")
    for source in 5000, 5001, 5001, 5000:
        c.client(p.udp(c.a4, source, c.v4, 56))
    c.server(2, p.udp("10.1.0.2", 80, c.a4, 5000, b"of the session"))
    c.server(2, p.udp("10.1.0.2", 80, c.a4, 5001, b"of none"), outcome=KERNEL)


def fwmark(c):
    """Several ports and protocols as one service; other services of its address; DR keeps ports."""
    net = c.v4 + "/32"
    c.mark(f"7 to {c.v4} proto tcp ports 7005")  # no such service: the address's counts
    c.mark(f"9 to {net} proto tcp ports 7000-7010")
    c.mark(f"9 to {net} proto udp")
    c.mark(f"11 from {c.a4} to {net} proto tcp ports 8000")
    c.mark_service(9, "-s rr", "-r 10.1.0.1:0 -m", "-r 10.1.0.2:8080 -m")
    c.mark_service(11, "-s rr", "-r 10.1.0.2:99 -g")
    c.service("t", "-s rr", "-r 10.1.0.3:80 -m", port=7000)  # its mark comes first
    c.service("t", "-s rr", "-r 10.1.0.3:80 -m", port=7005)
    c.service("t", "-s rr", "-r 10.1.0.3:80 -m", port=8000)
    for port in 7000, 7001, 7010, 7005, 7011:
        source = 4000 + port - 7000
        c.client(p.tcp(c.a4, source, c.v4, port, "S"), outcome=KERNEL if port == 7011 else OUT)
    c.client(p.udp(c.a4, 5000, c.v4, 53))
    c.client(p.udp(c.a4, 5000, c.v4, 54))
    c.client(p.tcp(c.a4, 4008, c.v4, 8000, "S"))
    c.client(p.tcp(c.a4, 4008, c.v4, 8000, "A", seq=1001))
    c.client(p.tcp(OTHERS[0], 4008, c.v4, 8000, "S"))
    c.client(p.tcp(c.a4, 4009, c.v4, 7002, "A"), outcome=KERNEL)
    # Answers, from the server's own port and from the one that was kept.
    c.server(2, p.tcp("10.1.0.2", 8080, c.a4, 4000, "SA", seq=7, ack=1001))
    c.server(1, p.tcp("10.1.0.1", 7001, c.a4, 4001, "SA", seq=7, ack=1001))
    c.server(2, p.udp("10.1.0.2", 8080, c.a4, 5000), outcome=OUT)
    inner = p.tcp(c.v4, 7001, c.a4, 4001, "SA", seq=7, ack=1001)
    c.client(p.icmp("192.0.2.254", c.v4, 3, 1, body=inner))
    c.server(1, p.icmp("10.1.0.1", c.a4, 3, 3, body=p.tcp(c.a4, 4001, "10.1.0.1", 7001, "S")))
    c.command("-e -f 9 -r 10.1.0.1:0 -m -w 0")
    c.command("-e -f 9 -r 10.1.0.2:8080 -m -w 0")
    c.client(p.tcp(c.a4, 4010, c.v4, 7000, "S"), outcome="no_server")
    c.command("-D -f 9")
    c.client(p.tcp(c.a4, 4000, c.v4, 7000, "A", seq=1001), outcome="server_removed")
    c.client(p.tcp(c.a4, 4011, c.v4, 7000, "S"))  # the mark is nobody's now


def fwmark_v6(c):
    one, two = "-r [2001:db8:1::1]:0 -m", "-r [2001:db8:1::2]:8080 -m"
    c.mark(f"9 to {c.v6}/128 proto tcp ports 80-443")
    c.mark_service(9, "-s rr", one, two, v6=True)
    c.mark_service(9, "-s rr", "-r 10.1.0.1:80 -m")
    for port in 80, 443, 444:
        c.client(p.tcp(c.a6, 4000, c.v6, port, "S"), outcome=KERNEL if port == 444 else OUT)
    c.server(2, p.tcp("2001:db8:1::2", 8080, c.a6, 4000, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"), outcome=KERNEL)


def fwmark_more(c):
    """-f with -o: only datagrams are scheduled one by one; with -p: one server for all ports."""
    c.mark(f"9 to {c.v4} ports 80-89 proto tcp")
    c.mark(f"9 to {c.v4} ports 80-89 proto udp")
    c.mark(f"10 to {c.v4} proto tcp")
    c.mark(f"10 to {c.v4} proto udp")
    two = "-r 10.1.0.1:0 -m", "-r 10.1.0.2:0 -m"
    c.mark_service(9, "-s rr -o", *two)
    c.mark_service(10, "-s rr -p 60", *two)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    for _ in range(3):
        c.client(p.udp(c.a4, 5000, c.v4, 80))
    c.client(p.tcp(c.a4, 4000, c.v4, 443, "S"))
    c.client(p.tcp(c.a4, 4001, c.v4, 444, "S"))
    c.client(p.udp(c.a4, 5000, c.v4, 443))
    c.client(p.tcp(OTHERS[0], 4001, c.v4, 444, "S"))


def mixed(c):
    """One service, a NAT and a DR server; another client."""
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m", "-r 10.1.0.2:80 -g")
    for port in 4001, 4002, 4003, 4004:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.server(1, p.tcp("10.1.0.1", 80, c.a4, 4002, "SA", seq=1, ack=1001))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A", data=b"q" * 1000, seq=1001))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A", data=b"q" * 1000, seq=1001))


def expiry(c):
    sh("ipvsadm --set 4 3 2")
    c.rules.append("--set 4 3 2")
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:80 -m")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.server(1, p.tcp("10.1.0.1", 80, c.a4, 4000, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001, ack=8))
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    time.sleep(2.7)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001, ack=8))
    c.server(1, p.udp("10.1.0.1", 80, c.a4, 5000), outcome=KERNEL)  # that session is gone
    time.sleep(5.3)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001, ack=8), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S", seq=9000))
    c.look()
    sh("ipvsadm --set 900 120 300")


def bad_packets(c):
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:8080 -m")
    a, v = c.a4, c.v4
    c.client(p.tcp(a, 4000, v, 80, "S", bad_tcp=True))
    c.client(p.tcp(a, 4001, v, 80, "S", bad_sum=True), outcome="ip_checksum")
    c.client(p.ip(a, v, 6, b"\0\1\0\x50"), outcome="short_transport")
    strange = struct.pack("!HHIIBBHHH", 4002, 80, 1, 0, 0x40, 2, 1, 0, 0)  # data offset 4
    c.client(p.ip(a, v, 6, strange))
    c.client(p.ip(a, v, 17, b"\0\1\0\x50\0"), outcome="short_transport")
    c.client(p.ip(a, v, 47, b"x" * 20), outcome=KERNEL)


CHUNKS = {"init": 1, "init-ack": 2, "sack": 3, "abort": 6, "shutdown": 7, "shutdown-ack": 8}
CHUNKS |= {"data": 0, "heartbeat": 4, "error": 9, "cookie-echo": 10, "cookie-ack": 11, "complete": 14}
VALUES = {"init": 16, "init-ack": 20, "sack": 12, "data": 17, "cookie-echo": 21, "shutdown": 4}


def chunks(words):
    """The chunks "cookie-echo+data"."""
    return b"".join(p.chunk(CHUNKS[w], bytes(range(VALUES.get(w, 0)))) for w in words.split("+"))


def sctp_forwarding(c, mode, v6):
    """An association from INIT to SHUTDOWN COMPLETE, TTL 1, a full packet, wrong checksums."""
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    s = "2001:db8:1::1" if v6 else "10.1.0.1"
    nat = mode == "-m"
    port = 8080 if nat else 80
    real = f"-r [{s}]:{port} {mode}" if v6 else f"-r {s}:{port} {mode}"

    def client(words, outcome=OUT, **more):
        c.client(p.sctp(a, 4000, v, 80, chunks(words), **more), outcome=outcome)

    def server(words, **more):
        if nat:
            c.server(1, p.sctp(s, port, a, 4000, chunks(words), **more))

    c.service("sctp-service", "-s rr", real, v6=v6)
    client("data", outcome=KERNEL)
    client("init", tos=0x10)
    server("init-ack", tos=0x20, ident=0x77)
    client("cookie-echo+data")
    server("cookie-ack+data")
    client("sack", df=False, ident=0xABCD)
    client("data", ttl=1, outcome="hop_limit")
    client("data", ttl=2)
    full = p.chunk(0, b"z" * (1500 - (40 if v6 else 20) - 12 - 4))
    c.client(p.sctp(a, 4000, v, 80, full))
    client("data", bad_sctp=True)
    server("data", bad_sctp=True)
    client("heartbeat", cut=12)
    client("heartbeat", cut=15)
    client("shutdown")
    server("shutdown-ack")
    client("complete")
    c.client(p.sctp(a, 4001, v, 80, chunks("init")))
    c.client(p.sctp(a, 4001, v, 80, chunks("abort")))
    c.client(p.sctp(a, 4001, v, 80, chunks("init")))  # begins anew in CLOSED


def sctp_same_port(c):
    """Only addresses change: the checksum stays, right or wrong."""
    c.service("sctp-service", "-s rr", "-r 10.1.0.1:80 -m", "-r 10.1.0.2:80 -m")
    c.client(p.sctp(c.a4, 4000, c.v4, 80, chunks("init"), bad_sctp=True))
    c.server(2, p.sctp("10.1.0.2", 80, c.a4, 4000, chunks("init-ack"), bad_sctp=True))
    c.client(p.sctp(c.a4, 4000, c.v4, 80, chunks("cookie-echo")))
    c.client(p.sctp(c.a4, 4001, c.v4, 80, chunks("init")))
    packet = p.sctp(c.a4, 4000, c.v4, 80, p.chunk(0, b"f" * 1200))[20:]
    first = p.ip(c.a4, c.v4, 132, packet[:800], ident=0x4242, df=False, more=True)
    second = p.ip(c.a4, c.v4, 132, packet[800:], ident=0x4242, df=False, offset=800)
    c.fragments(0, first, second, out=2)


def sctp_bad(c):
    """Short packets, packets that begin nothing, no servers."""
    c.service("sctp-service", "-s rr", "-r 10.1.0.1:8080 -m")
    for number, size in enumerate((0, 3, 4, 8, 11, 12, 13, 15)):
        packet = p.sctp(c.a4, 4000 + number, c.v4, 80, chunks("init"), cut=size)
        c.client(packet, outcome="short_transport")
    c.client(p.sctp(c.a4, 4010, c.v4, 80, chunks("init"), cut=16))
    for size in 4, 11:
        packet = p.sctp(c.a4, 4010, c.v4, 80, chunks("init"), cut=size)
        c.client(packet, outcome="short_transport")
    for number, words in enumerate(("data", "abort", "cookie-echo", "shutdown-ack", "heartbeat")):
        c.client(p.sctp(c.a4, 4020 + number, c.v4, 80, chunks(words)), outcome=KERNEL)
    c.client(p.sctp(c.a4, 4030, c.v4, 81, chunks("init")), outcome=KERNEL)
    c.client(p.sctp(c.a4, 20, c.v4, 80, chunks("init")), outcome=KERNEL)
    c.service("sctp-service", "-s rr", port=90)
    c.client(p.sctp(c.a4, 4040, c.v4, 90, chunks("init")), outcome="no_server")
    c.client(p.sctp(c.a4, 4041, c.v4, 90, chunks("data")), outcome=KERNEL)


def sctp_sloppy(c):
    c.knob("sloppy_sctp", 1)
    c.service("sctp-service", "-s rr", "-r 10.1.0.1:80 -m")
    everything = [*CHUNKS, "cookie-echo+abort", "data+abort"]
    everything.remove("abort")
    for number, words in enumerate(everything):
        c.client(p.sctp(c.a4, 4000 + number, c.v4, 80, chunks(words)))
        c.look(port=4000 + number)
    c.client(p.sctp(c.a4, 4100, c.v4, 80, chunks("abort")), outcome=KERNEL)
    c.client(p.sctp(c.a4, 4101, c.v4, 80, chunks("data"), cut=13), outcome="short_transport")


def sctp_icmp(c):
    """Errors about an association; only the quoted ports and addresses change."""
    a, v, router = c.a4, c.v4, "192.0.2.254"
    c.service("sctp-service", "-s rr", "-r 10.1.0.1:8080 -m")
    c.client(p.sctp(a, 4000, v, 80, chunks("init")))
    c.server(1, p.sctp("10.1.0.1", 8080, a, 4000, chunks("init-ack")))
    inner = p.sctp(v, 80, a, 4000, chunks("data"))
    for size in 28, 32, 36, 200:
        c.client(p.icmp(router, v, 3, 4, struct.pack("!HH", 0, 1400), inner[:size]))
    c.client(p.icmp(router, v, 11, 0, body=p.sctp(v, 80, a, 4999, chunks("data"))), outcome=KERNEL)
    about = p.sctp(a, 4000, "10.1.0.1", 8080, chunks("data"))
    c.server(1, p.icmp("10.1.0.1", a, 3, 2, body=about))
    c.server(9, p.icmp("10.1.0.9", a, 3, 1, body=about[:28]))


def sctp_persistence(c):
    """-p over SCTP: an established association makes the template ASSURED."""
    c.service("sctp-service", "-s rr -p 60", *pair(80))
    c.client(p.sctp(c.a4, 4000, c.v4, 80, chunks("init")))
    c.client(p.sctp("203.0.113.250", 4000, c.v4, 80, chunks("init")))
    c.server(1, p.sctp("10.1.0.1", 80, "203.0.113.250", 4000, chunks("cookie-ack")))
    c.client(p.sctp(c.a4, 4001, c.v4, 80, chunks("init")))
    c.client(p.sctp(c.a4, 4000, c.v4, 80, chunks("abort")))
    c.client(p.sctp(c.a4, 4000, c.v4, 80, chunks("init")))


def fragments(c, mode, v6):
    """UDP datagrams in fragments that come in any order, twice, or not at all."""
    nat = mode == "-m"
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    s = "2001:db8:1::1" if v6 else "10.1.0.1"
    port = 8080 if nat else 80
    c.service("u", "-s rr", f"-r [{s}]:{port} {mode}" if v6 else f"-r {s}:{port} {mode}", v6=v6)
    most = 1448 if v6 else 1480

    def datagram(size, ident, **options):
        data = bytes(x & 255 for x in range(size))
        more = {} if v6 else {"ident": ident, "df": False}
        return p.udp(a, 5000, v, 80, data, **more, **options)

    client = lambda *parts, **told: c.fragments(0, *parts, **told)
    overlap, bad = "fragment_overlap", "fragment_bad"
    client(*p.cut(datagram(2000, 1), most), out=2)
    client(*p.cut(datagram(2001, 2), most)[::-1], out=2)
    client(*p.cut(datagram(600, 4, tos=0x29, ttl=3), 208, 208), out=3)
    client(*p.cut(datagram(60000, 5), *[most] * (60000 // most)), out=60008 // most + 1)
    first, last = p.cut(datagram(408, 6), 208)
    client(first, first, last, lost=1, reason=overlap, out=2)
    first, last = p.cut(datagram(409, 7), 208)
    client(first, p.cut(datagram(409, 7), 200)[1], last, first, lost=2, reason=overlap, out=2)
    parts = [p.cut(datagram(410, 8, tos=tos), 216)[i] for i, tos in enumerate((1, 3))]
    client(*parts, out=2)
    parts = [p.cut(datagram(411, 9, tos=tos), 216)[i] for i, tos in enumerate((0, 3))]
    client(*parts, lost=2, reason=bad)
    client(*p.cut(datagram(412, 10, ttl=1), 216), lost=1, reason="hop_limit", merged=1, out=1, answered=True)
    if v6:
        client(*p.cut(datagram(100, 11)), out=1)  # whole, but for its fragment header below
        head = p.udp(a, 5000, v, 80, b"atomic")
        extra = struct.pack("!BBHI", 17, 0, 0, 77)
        client(p.ip(a, v, 44, extra + head[40:]), out=1)
    else:
        client(*p.cut(datagram(3000, 3, no_sum=True), 1480, 1480)[::-1], out=3)
        options = {"options": bytes([0x94, 4, 0, 0, 1, 1, 1, 1])}
        client(*p.cut(datagram(412, 10, **options), 216), out=2)
        data = p.udp(a, 5000, v, 80, b"d" * 412, ident=11)  # with DF
        client(*p.cut(data, 216), out=2)
        data = p.udp(a, 5000, v, 80, b"d" * 2000, ident=12)
        client(*p.cut(data, 1480), lost=1, reason="too_big", merged=1, out=1, answered=True)
    if nat:
        answer = p.udp(s, 8080, a, 5000, b"r" * 2500, **({} if v6 else {"df": False}))
        c.fragments(1, *p.cut(answer, most), out=2)
        c.fragments(1, *p.cut(answer, 104, 1400)[::-1], out=3)


def fragments_tcp(c):
    """Segments in fragments, also such as cut the header."""
    c.service("t", "-s rr", "-r 10.1.0.1:8080 -m")
    c.fragments(0, *p.cut(p.tcp(c.a4, 4000, c.v4, 80, "S", b"x" * 40, df=False, ident=1), 8), out=2)
    c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 4000, "SA", seq=7, ack=1001))
    data = p.tcp(c.a4, 4000, c.v4, 80, "A", b"x" * 60, df=False, seq=1001, ack=8, ident=2)
    c.fragments(0, *p.cut(data, 16, 40)[::-1], out=2)
    data = p.tcp(c.a4, 4000, c.v4, 80, "A", b"x" * 2000, df=False, seq=1001, ack=8, ident=3)
    c.fragments(0, *p.cut(data, 1480), out=2)
    c.fragments(0, *p.cut(p.tcp(c.a4, 4000, c.v4, 80, "R", b"x" * 20, df=False, ident=4), 24), out=2)


def fragments_sctp(c):
    """The checksum of an SCTP packet follows its port, over all of its fragments."""
    for port, server in (80, 8080), (81, 81):
        c.service("sctp-service", "-s rr", f"-r 10.1.0.1:{server} -m", port=port)
    init, data, init_ack = (p.chunk(kind, bytes(size)) for kind, size in ((1, 300), (0, 2000), (2, 300)))
    for ident, port in enumerate((80, 81), 1):
        packet = p.sctp(c.a4, 4000, c.v4, port, init, df=False, ident=ident)
        c.fragments(0, *p.cut(packet, 200), out=2)
        packet = p.sctp(c.a4, 4000, c.v4, port, data, df=False, ident=ident + 2)
        c.fragments(0, *p.cut(packet, 1480)[::-1], out=2)
    packet = p.sctp("10.1.0.1", 8080, c.a4, 4000, init_ack, df=False)
    c.fragments(1, *p.cut(packet, 104, 104), out=3)


def fragments_lost(c):
    """After 30 s, or 60 s under IPv6, the sender of an incomplete packet's first fragment is told."""
    c.service("u", "-s rr", "-r 10.1.0.1:8080 -m")
    c.service("u", "-s rr", "-r [2001:db8:1::1]:8080 -m", v6=True)
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    four = p.cut(p.udp(c.a4, 5000, c.v4, 80, b"x" * 500, df=False), 200, 200)
    six = p.cut(p.udp(c.a6, 5000, c.v6, 80, b"x" * 500), 200, 200)
    lone = p.cut(p.udp(c.a4, 5001, c.v4, 80, b"x" * 500, df=False, ident=7), 200)[1]
    c.fragments(0, four[0], four[2], lone)
    c.fragments(0, six[0], six[2])
    time.sleep(26)
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    for lost in 3, 2:
        came = received("c0", 40)
        if len(came) != 1:
            sys.exit(f"{c.name}: {[p.summary(x) for x in came]}")
        c.counts["dropped"].setdefault("fragment_incomplete", 0)
        c.counts["dropped"]["fragment_incomplete"] += lost
        c.counts["generated"] += 1
        c.made.append(len(c.wanted))
        time.sleep(2)  # a little earlier or later than ours
        c.wanted.append((c.now(), came[0]))
        c.client(p.udp(c.a4, 5000, c.v4, 80))
        c.wanted[-2] = (c.wanted[-1][0], came[0])


def fragmenting_v6(c):
    """Under IPv6 only what came in fragments is cut, to fragments as long as the longest."""
    c.service("u", "-s rr", "-r [2001:db8:1::1]:8080 -m", v6=True)
    c.mtu("lbs", 1400)
    datagram = p.udp(c.a6, 5000, c.v6, 80, b"u" * 2500)
    c.client(p.udp(c.a6, 5000, c.v6, 80, b"u" * 1360), outcome="too_big")
    c.fragments(0, *p.cut(datagram, 1448), lost=1, reason="too_big", merged=1, out=1, answered=True)
    c.fragments(0, *p.cut(datagram, 1200, 1200), out=3)
    c.fragments(0, *p.cut(datagram, 1344, 1000), out=3)
    c.fragments(0, *p.cut(datagram, 104, 1344), out=3)
    c.fragments(0, *p.cut(p.udp(c.a6, 5000, c.v6, 80, b"u" * 1300), 1304), out=1)


def ipsec(c, mode):
    """AH and ESP go where the key exchange of their client went."""
    c.service("u", "-s rr", f"-r 10.1.0.1:500 {mode}", f"-r 10.1.0.2:500 {mode}", port=500)
    v6 = [f"-r [2001:db8:1::{n}]:500 {mode}" for n in (1, 2)]
    c.service("u", "-s rr", *v6, port=500, v6=True)
    packet = struct.pack("!II", 0x1234, 1) + b"e" * 40
    ah = struct.pack("!BBHII", 50, 4, 0, 1, 1) + b"a" * 12
    for protocol in 50, 51:
        c.client(p.ip(c.a4, c.v4, protocol, packet), outcome=KERNEL)
    c.client(p.ip(c.a6, c.v6, 50, packet), outcome=KERNEL)
    for n, client in enumerate((c.a4, "203.0.113.250")):
        c.client(p.udp(client, 500, c.v4, 500, b"isakmp"))
        for protocol in 50, 51:
            c.client(p.ip(client, c.v4, protocol, packet))
        c.client(p.ip(client, c.v4, 50, b"", df=False))
        if mode == "-m":
            server = 2 - n
            for protocol in 50, 51:
                c.server(server, p.ip(f"10.1.0.{server}", client, protocol, packet))
    c.client(p.ip("203.0.113.251", c.v4, 50, packet), outcome=KERNEL)
    c.client(p.ip(c.a4, c.v4, 50, packet, ttl=1), outcome="hop_limit")
    c.client(p.udp(c.a6, 500, c.v6, 500, b"isakmp"))
    c.client(p.ip(c.a6, c.v6, 50, packet))
    c.client(p.ip(c.a6, c.v6, 51, ah + packet))
    c.fragments(0, *p.cut(p.ip(c.a4, c.v4, 50, packet * 9, df=False), 224), out=2)
    inner = p.ip(c.v4, c.a4, 50, packet)
    c.client(p.icmp("192.0.2.254", c.v4, 3, 4, struct.pack("!HH", 0, 1400), inner))
    if mode == "-m":
        c.server(2, p.ip("2001:db8:1::2", c.a6, 50, packet))
        for part in p.cut(p.ip("10.1.0.2", c.a4, 50, packet * 9, df=False), 104, 104):
            c.server(2, part)
        inner = p.ip(c.a4, "10.1.0.2", 50, packet)
        c.server(2, p.icmp("10.1.0.2", c.a4, 3, 4, struct.pack("!HH", 0, 1400), inner))


def icmp_sums(c):
    """ICMP errors with wrong checksums, other types, about fragments, in fragments."""
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:8080 -m")
        c.service(kind, "-s rr", "-r 10.1.0.1:81 -g", port=81)
        c.service(kind, "-s rr", "-r [2001:db8:1::1]:8080 -m", v6=True)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    c.client(p.udp(c.a4, 5000, c.v4, 81))
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "S"))

    def wrong(packet):
        at = 43 if packet[0] >> 4 == 6 else 23
        return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]

    router, too_big = "192.0.2.254", struct.pack("!HH", 0, 1400)
    quoted = p.tcp(c.v4, 80, c.a4, 4000, "A", seq=8, ack=1001)
    c.client(wrong(p.icmp(router, c.v4, 3, 4, too_big, quoted)), outcome="icmp_checksum")
    direct = p.icmp(router, c.v4, 3, 4, too_big, p.udp(c.v4, 81, c.a4, 5000, b"y"))
    c.client(direct)
    c.client(wrong(direct), outcome="icmp_checksum")
    later = p.ip(c.v4, c.a4, 6, quoted[20:], offset=1480, df=False)
    c.client(p.icmp(router, c.v4, 3, 4, too_big, later))
    first = p.ip(c.v4, c.a4, 6, quoted[20:], more=True, df=False)
    c.client(p.icmp(router, c.v4, 3, 4, too_big, first))
    whole = p.icmp(router, c.v4, 3, 1, body=quoted + b"z" * 500, df=False)
    c.fragments(0, *p.cut(whole, 200, 200), out=3)
    c.client(p.icmp(router, c.v4, 3, 4, too_big, quoted, ttl=1), outcome="hop_limit", answered=False)
    c.client(p.icmp(router, c.v4, 5, 1, body=quoted), outcome=KERNEL)
    back = p.icmp("10.1.0.1", c.a4, 3, 3, body=p.udp(c.a4, 5000, "10.1.0.1", 8080))
    c.server(1, back)
    c.server(1, wrong(back), outcome="icmp_checksum")
    six = p.tcp(c.v6, 80, c.a6, 4000, "A", seq=8, ack=1001)
    for kind in 1, 2, 3, 4, 100:
        error = p.icmp("2001:db8:c::fe", c.v6, kind, 0, struct.pack("!I", 1400), six)
        c.client(error)
        c.client(wrong(error))


def fragmenting(c, mode):
    """Packets without DF that are longer than the way out allows, and such as have it."""
    nat = mode == "-m"
    for kind in "tu":
        c.service(kind, "-s rr", f"-r 10.1.0.1:{8080 if nat else 80} {mode}")
    c.mtu("lbs", 1400)
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"u" * 1450, df=False), out=2)
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"u" * 1372, df=False))
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"u" * 1373, df=False, ident=0), out=2)
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"n" * 1471, df=False, no_sum=True, tos=0x28), out=2)
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"u" * 1450), outcome="too_big")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", b"t" * 1450, seq=1001, df=False), out=2)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", b"t" * 1450, seq=1001), outcome="too_big")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", b"t" * 1450, seq=1001, df=False, ttl=2), out=2)
    quoted = p.tcp(c.v4, 80, c.a4, 4000, "A", b"q" * 1400, seq=8, ack=1001)
    for df in False, True:
        c.client(p.icmp("192.0.2.254", c.v4, 3, 1, body=quoted, df=df), out=2)
    if nat:
        c.mtu("lbs", 1500)
        c.mtu("lbc", 1400)
        c.server(1, p.udp("10.1.0.1", 8080, c.a4, 5000, b"r" * 1450, df=False), out=2)
        c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 4000, "SA", b"r" * 1450, df=False), out=2)


def fragmenting_options(c):
    """Later fragments have the options only that are to be copied."""
    c.service("u", "-s rr", "-r 10.1.0.1:8080 -m")
    c.mtu("lbs", 1400)
    alert, padding = bytes([0x94, 4, 0, 0]), bytes([1, 1, 1, 1])
    security = bytes([0x82, 11]) + bytes(9)
    for options in alert, padding, alert + padding, padding + security + b"\1" + alert:
        datagram = p.udp(c.a4, 5000, c.v4, 80, b"u" * 1430, df=False, options=options)
        c.client(datagram, out=2)


def persistence(c):
    c.service("t", "-s rr -p 60 -M 255.255.255.0", "-r 10.1.0.1:80 -m", "-r 10.1.0.2:80 -m")
    for client, port in (c.a4, 4000), (c.a4, 4001), ("203.0.113.250", 4001), ("203.0.114.1", 4001):
        c.client(p.tcp(client, port, c.v4, 80, "S"))
    for server in 1, 2:
        c.command(f"-e -t {c.v4}:80 -r 10.1.0.{server}:80 -m -w 0")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))  # the template goes on


def any_port(c):
    c.service("t", "-s rr -p 60", "-r 10.1.0.1:0 -m", "-r 10.1.0.2:0 -m", port=0)
    for port in 80, 443, 21:
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"))


def pair(port, mode="-m"):
    return [f"-r 10.1.0.{n}:{port} {mode}" for n in (1, 2)]


def persistence_udp(c):
    c.service("u", "-s rr -p 60 -M 255.255.255.0", *pair(53), port=53)
    c.client(p.udp(c.a4, 5000, c.v4, 53, b"a"))
    c.client(p.udp("203.0.113.250", 5000, c.v4, 53, b"b"))
    c.client(p.udp("203.0.114.1", 5000, c.v4, 53, b"c"))
    c.client(p.udp(c.a4, 5001, c.v4, 53, b"d"))
    c.server(2, p.udp("10.1.0.2", 53, c.a4, 5001, b"answer"))


def persistence_v6(c):
    servers = [f"-r [2001:db8:1::{n}]:8080 -m" for n in (1, 2)]
    c.service("t", "-s rr -p 60 -M 64", *servers, v6=True)
    clients = c.a6, "2001:db8:cafe::ffff:1", "2001:db8:cafe:1::1"
    for client in clients:
        c.client(p.tcp(client, 4000, c.v6, 80, "S"))
    c.server(2, p.tcp("2001:db8:1::2", 8080, c.a6, 4000, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a6, 4000, c.v6, 80, "A", seq=1001, ack=8))
    for client in clients:
        c.client(p.tcp(client, 4001, c.v6, 80, "S"))


def persistence_reuse(c):
    """A SYN on a closed connection stays with it, though new ones go elsewhere."""
    where = f"-t {c.v4}:80"
    c.knob("expire_quiescent_template", 1)
    c.service("t", "-s rr -p 60", *pair(80))
    for flags in "S", "A", "R":
        c.client(p.tcp(c.a4, 4000, c.v4, 80, flags))
    c.server(2, p.tcp("10.1.0.2", 80, c.a4, 4000, "R"))
    c.command(f"-e {where} -r 10.1.0.2:80 -m -w 0")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S", seq=9000))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "R", seq=9001))


def persistence_quiescent(c):
    where = f"-t {c.v4}:80"
    c.service("t", "-s rr -p 60", *pair(8080))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.command(f"-e {where} -r 10.1.0.2:8080 -m -w 0")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))  # still there
    c.knob("expire_quiescent_template", 1)
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))  # now at the other
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.command(f"-e {where} -r 10.1.0.2:8080 -m -w 1")
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "S"))  # and stays there
    c.command(f"-e {where} -r 10.1.0.1:8080 -m -w 0")
    c.command(f"-e {where} -r 10.1.0.2:8080 -m -w 0")
    c.client(p.tcp(c.a4, 4004, c.v4, 80, "S"), outcome="no_server")


def persistence_removed(c):
    where = f"-t {c.v4}:80"
    c.service("u", "-s rr", "-r 10.1.0.3:80 -m")  # IPVS works on while the other is away
    c.service("t", "-s rr -p 60", *pair(80))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.command(f"-d {where} -r 10.1.0.2:80")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001), outcome="server_removed")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))
    c.command(f"-a {where} -r 10.1.0.2:80 -m -w 1")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))
    c.command(f"-D {where}")
    c.command(f"-A {where} -s rr -p 60")
    for server in 1, 2:
        c.command(f"-a {where} -r 10.1.0.{server}:80 -m -w 1")
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "S"))  # the template outlived its service
    c.client(p.tcp("203.0.113.250", 4003, c.v4, 80, "S"))


def persistence_expiry(c):
    """A template ends when it is unused for its time; while it is used, it gets a minute more."""
    sh("ipvsadm --set 0 0 2")
    c.rules.append("--set 0 0 2")
    c.service("u", "-s rr -p 3", *pair(53), port=53)
    c.service("u", "-s rr -p 1", *pair(54), port=54)
    for port in 53, 54:
        c.client(p.udp(c.a4, 5000, c.v4, port))
    time.sleep(2.5)
    c.client(p.udp(c.a4, 5001, c.v4, 54))
    time.sleep(1.5)
    c.client(p.udp(c.a4, 5001, c.v4, 53))  # another server
    c.client(p.udp(c.a4, 5002, c.v4, 54))  # the same one
    c.look()
    sh("ipvsadm --set 900 120 300")


def persistence_edit(c):
    """Templates and connections stay when a service stops being persistent, and starts again."""
    where = f"-t {c.v4}:80"
    c.service("t", "-s rr -p 60", *pair(80))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.command(f"-E {where} -s rr")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))
    c.command(f"-E {where} -s rr -p 30")
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "S"))
    c.client(p.tcp("203.0.113.250", 4003, c.v4, 80, "S"))
    c.command(f"-E {where} -s rr -p 90 -M 255.255.0.0")
    c.client(p.tcp(c.a4, 4004, c.v4, 80, "S"))
    c.client(p.tcp("203.0.113.250", 4004, c.v4, 80, "S"))


def persistence_ftp(c):
    """Data connections of FTP go where the control connection went."""
    c.service("t", "-s rr -p 60", *pair(21), port=21)
    for port in 21, 40000, 20:
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4000, c.v4, 1023, "S"), outcome=KERNEL)
    c.client(p.tcp(c.a4, 20, c.v4, 1024, "S"), outcome=KERNEL)
    c.client(p.tcp("203.0.113.250", 4000, c.v4, 1024, "S"))
    c.server(2, p.tcp("10.1.0.2", 40000, c.a4, 4000, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 40000, "A", seq=1001, ack=8))


def ftp(c):
    c.service("t", "-s rr", *pair(21), port=21)
    c.client(p.tcp(c.a4, 4000, c.v4, 21, "S"))
    for port in 20, 40000:
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"), outcome=KERNEL)


def any_port_services(c):
    """Port 0 next to services of its address, over TCP, UDP and both families."""
    c.service("t", "-s rr -p 60", *pair(99), port=0)
    c.service("t", "-s rr -p 60 -M 255.255.255.0", *pair(8080))
    c.service("t", "-s rr -p 60", "-r 10.1.0.1:2121 -m", port=21)
    c.service("u", "-s rr -p 60", *pair(0, "-g"), port=0)
    six = [f"-r [2001:db8:1::{n}]:0 -m" for n in (1, 2)]
    c.service("t", "-s rr -p 60", *six, port=0, v6=True)
    for port in 443, 80, 8443:
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"))
    c.server(2, p.tcp("10.1.0.2", 443, c.a4, 4000, "SA", seq=7, ack=1001))
    inner = p.tcp(c.v4, 443, c.a4, 4000, "A", seq=8, ack=1001)
    c.client(p.icmp("192.0.2.254", c.v4, 3, 1, body=inner[:28]))
    for port in 53, 123:
        c.client(p.udp(c.a4, 5000, c.v4, port))
    c.client(p.udp("203.0.113.250", 5000, c.v4, 123))
    for port in 80, 21:
        c.client(p.tcp(c.a6, 4000, c.v6, port, "S"))
    # FTP and port 0 share their templates.
    for port in 21, 5000:
        c.client(p.tcp("203.0.114.1", 4000, c.v4, port, "S"))


OTHERS = ["203.0.113.250", "203.0.114.1", "2001:db8:cafe::ffff:1", "2001:db8:cafe:1::1"]
def conn_reuse(c, mode, knob):
    """SYNs on sessions in every state; two servers, so that a new one is seen."""
    c.knob("conn_reuse_mode", knob)
    c.service("t", "-s rr", f"-r 10.1.0.1:80 {mode}", f"-r 10.1.0.2:80 {mode}")
    port = 6000
    for sequence in "cS", "cS cA", "cS cA cFA", "cS cR", "cS cA cR", "cFS", "cS sSA cA cFA sFA cA":
        if mode == "-g" and " s" in sequence:
            continue
        port += 1
        for step in (sequence + " cS").split():
            if step[0] == "c":
                c.client(p.tcp(c.a4, port, c.v4, 80, step[1:]))
            else:
                number = serving(c, port)
                c.server(number, p.tcp(f"10.1.0.{number}", 80, c.a4, port, step[1:]))
        c.look(port=port)


def serving(c, port):
    """The number of the server that has the session of this client port."""
    for line in sh("ipvsadm -Lnc").splitlines()[2:]:
        if f"{c.a4}:{port} " in line:
            return int(line.split()[5].split(":")[0].split(".")[-1])
    sys.exit(f"{c.name}: no session of port {port}")


def expire_nodest(c):
    """Packets of a removed server's session; a SYN on the session of a server with weight 0."""
    c.knob("expire_nodest_conn", 1)
    c.service("u", "-s rr", "-r 10.1.0.2:80 -m")  # stays, or IPVS would unhook itself below
    c.service("t", "-s rr", "-r 10.1.0.2:80 -m", "-r 10.1.0.1:80 -m")
    where = f"-t {c.v4}:80"
    for port in 4000, 4001, 4002, 4003:  # servers 1, 2, 1, 2
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.command(f"-e {where} -r 10.1.0.1:80 -m -w 0")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))  # goes on
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))  # rescheduled
    c.command(f"-d {where} -r 10.1.0.1:80")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A", seq=1001), outcome=KERNEL)
    c.command(f"-a {where} -r 10.1.0.1:80 -m -w 1")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A", seq=1001), outcome=KERNEL)  # it is gone for good
    c.command(f"-d {where} -r 10.1.0.2:80")
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))  # begins anew at once


def expire_nodest_later(c):
    """Set after a server was removed: each session ends with its next packet, until another removal
    ends them all."""
    c.service("u", "-s rr", "-r 10.1.0.2:80 -m")
    c.service("t", "-s rr", "-r 10.1.0.2:80 -m", "-r 10.1.0.1:80 -m")
    for port in range(4000, 4006):  # servers 1, 2, 1, 2, 1, 2
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.command(f"-d -t {c.v4}:80 -r 10.1.0.1:80")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A"), outcome="server_removed")
    c.knob("expire_nodest_conn", 1)
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A"), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A"))
    c.knob("expire_nodest_conn", 0)
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A"), outcome="server_removed")
    c.knob("expire_nodest_conn", 1)
    c.command(f"-d -t {c.v4}:80 -r 10.1.0.2:80")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A"), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "A"), outcome=KERNEL)


def returned_server(c):
    """A removed server lies in a bin: added again soon, it goes on counting, busy or idle."""
    one, two = "-r 10.1.0.1:80", "-r 10.1.0.2:80"
    c.service("t", "-s rr", f"{two} -m", f"{one} -m")
    c.service("u", "-s rr", f"{one} -m")
    for port in 4000, 4001:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "R"))
    for server in one, two:
        c.command(f"-d -t {c.v4}:80 {server}")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"), outcome="no_server")
    for server in two, one:
        c.command(f"-a -t {c.v4}:80 {server} -m -w 1")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    for port in 4002, 4003:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))


def sloppy_tcp(c):
    c.knob("sloppy_tcp", 1)
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    port = 4000
    for flags in "A", "PA", "FA", "R", "RA", "", "S", "SA", "SF", "SR", "F":
        port += 1
        kernel = "R" in flags
        c.client(p.tcp(c.a4, port, c.v4, 80, flags), outcome=KERNEL if kernel else OUT)
        if not kernel:
            c.look(port=port)
    c.client(p.tcp(c.a4, 20, c.v4, 80, "S"), outcome=KERNEL)  # FTP's data port is no client's


def drop_packet(c, rate, count):
    """drop_packet = 3 drops the first of each am_droprate first packets."""
    c.knob("am_droprate", rate)
    c.service("t", "-s rr", "-r 10.1.0.1:80 -m")
    c.service("u", "-s rr", "-r 10.1.0.1:80 -m")
    c.knob("drop_packet", 3)
    for i in range(count):
        dropped = i % rate == 0
        if i % 2:
            packet = p.udp(c.a4, 5000 + i, c.v4, 80)
        else:
            packet = p.tcp(c.a4, 4000 + i, c.v4, 80, "S")
        c.client(packet, outcome="drop_rate" if dropped else OUT)
        if not dropped:
            c.client(packet)  # of a session: never dropped
    c.client(p.tcp(c.a4, 4999, c.v4, 80, "A"), outcome=KERNEL)  # begins none


def secure_tcp(c, mode):
    c.knob("secure_tcp", 3)
    states(c, mode)


def nat_icmp_send(c):
    c.knob("nat_icmp_send", 1)
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:8080 -m", "-r 10.1.0.2:80 -g")
    answered = "no_session"
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 5000, b"unasked"), outcome=answered)
    c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 5000, "SA"), outcome=answered)
    c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 5000, "A"), outcome=answered)
    c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 5000, "R"), outcome=KERNEL)
    c.server(1, p.tcp("10.1.0.1", 8080, c.a4, 5000, "RA"), outcome=KERNEL)
    c.server(1, p.tcp("10.1.0.1", 8081, c.a4, 5000, "A"), outcome=KERNEL)
    c.server(2, p.tcp("10.1.0.2", 80, c.a4, 5000, "A"), outcome=KERNEL)
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    c.client(p.udp(c.a4, 5001, c.v4, 80))
    for port in 5000, 5001:
        if serving(c, port) == 1:
            c.server(1, p.udp("10.1.0.1", 8080, c.a4, port, b"asked"))
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 5002, b"unasked"), outcome=answered)


def nat_icmp_send_v6(c):
    c.knob("nat_icmp_send", 1)
    s = "2001:db8:1::1"
    for kind in "tu":
        c.service(kind, "-s rr", f"-r [{s}]:8080 -m", v6=True)
    c.server(1, p.udp(s, 8080, c.a6, 5000, b"unasked"), outcome="no_session")
    c.server(1, p.tcp(s, 8080, c.a6, 5000, "A"), outcome="no_session")
    c.server(1, p.tcp(s, 8080, c.a6, 5000, "R"), outcome=KERNEL)


def schedule_icmp(c):
    """Errors about flows that have no session."""
    c.knob("schedule_icmp", 1)
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:8080 -m", "-r 10.1.0.2:80 -g")
    router, too_big = "192.0.2.254", struct.pack("!HH", 0, 1400)

    def error(inner, kind=3, code=4, rest=too_big, outcome=OUT):
        c.client(p.icmp(router, c.v4, kind, code, rest, inner[:28]), outcome=outcome)

    for flags in "A", "SA", "R":
        for port in 4000, 4001:
            error(p.tcp(c.v4, 80, c.a4, port + 10 * len(flags) + ord(flags[0]), flags))
    error(p.udp(c.v4, 80, c.a4, 5000, b"answer"))
    error(p.udp(c.v4, 80, c.a4, 5000, b"answer"))
    error(p.udp(c.v4, 80, c.a4, 5000, b"answer"), kind=11, code=0, rest=b"\0" * 4)
    error(p.udp(c.v4, 80, c.a4, 5001, b"answer"), kind=3, code=3, rest=b"\0" * 4)
    error(p.udp(c.v4, 81, c.a4, 5001, b"answer"), outcome=KERNEL)
    error(p.udp(c.v4, 80, c.a4, 5002, b"answer"), kind=12, code=0, outcome=KERNEL)
    c.client(p.udp(c.a4, 5000, c.v4, 80))


def schedule_icmp_mark(c):
    """A rule with a protocol does not match an error about a flow that it does match."""
    c.knob("schedule_icmp", 1)
    c.mark("8 from 192.0.2.253")
    c.mark(f"9 proto tcp to {c.v4}")
    c.mark_service(8, "-s rr", "-r 10.1.0.2:0 -m")
    c.mark_service(9, "-s rr", "-r 10.1.0.3:0 -m")
    c.service("t", "-s rr", "-r 10.1.0.1:8080 -m")

    def error(port, client_port, router="192.0.2.254", outcome=OUT):
        inner = p.tcp(c.v4, port, c.a4, client_port, "A")
        c.client(p.icmp(router, c.v4, 3, 1, b"\0" * 4, inner[:28]), outcome=outcome)

    error(80, 4000)
    error(80, 4001, router="192.0.2.253")
    error(81, 4002, outcome=KERNEL)
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "S"))
    error(80, 4003)
    error(80, 20, outcome=KERNEL)  # about FTP's data connection
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))


def schedule_icmp_by_destination(c, scheduler):
    """The destination is that of the packet which the error quotes: the client."""
    c.knob("schedule_icmp", 1)
    c.service("t", f"-s {scheduler}", "-r 10.1.0.1:80 -m", "-r 10.1.0.2:80 -m")
    for port in 4000, 4001:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
        inner = p.tcp(c.v4, 80, c.a4, port + 100, "A")
        c.client(p.icmp("192.0.2.254", c.v4, 3, 1, b"\0" * 4, inner[:28]))
        c.client(p.tcp(c.a4, port + 100, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"))


def shared_server(c):
    """Two services, one server, a client with one port: whose are the answers?"""
    for port in 80, 443:
        c.service("u", "-s rr", "-r 10.1.0.1:8080 -m", port=port)
    c.client(p.udp(c.a4, 4000, c.v4, 80))
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 4000, b"answer"))
    c.command("--set 0 0 2")
    c.client(p.udp(c.a4, 4000, c.v4, 443))
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 4000, b"answer"))
    c.command("--set 0 0 300")
    c.client(p.udp(c.a4, 4000, c.v4, 80))
    time.sleep(3)
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 4000, b"answer"))
    c.client(p.udp(c.a4, 4000, c.v4, 443))
    c.server(1, p.udp("10.1.0.1", 8080, c.a4, 4000, b"answer"))


OTHERS = ["203.0.113.250", "203.0.114.1", "2001:db8:cafe::ffff:1"]
OWN = "IPVS counts its own ICMP errors as sent by the server, by accident of its hooks"


def tunnel(c, options, v6=False, six_behind=None):
    """A connection, ToS, TTL 1, a packet too big, UDP, through a tunnel. Its far end is of the
    service's family or, six_behind, as that says."""
    a, v = (c.a6, c.v6) if v6 else (c.a4, c.v4)
    c.ignored += [f"counters.out_{what} {OWN}" for what in ("packets", "bytes")]
    outer6 = v6 if six_behind is None else six_behind
    real = "-r [2001:db8:1::1]:80" if outer6 else "-r 10.1.0.1:80"
    if not outer6:
        c.ignored.append("tunnel.id Linux counts from a random number")
    if "gue" in options:
        c.ignored.append("udp.source_port a random hash of the flow")
        if "csum" in options:
            c.ignored.append("udp.checksum has it in; that it is right is compared")

    def client(*args, outcome=OUT, **more):
        c.client(p.tcp(a, 4000, v, 80, *args, **more), outcome=outcome)

    c.service("t", "-s rr", f"{real} -i {options}", v6=v6)
    overhead = 40 if outer6 else 20
    overhead += 12 if "gue" in options else 8 if "--tun-csum" in options else 4 if "gre" in options else 0
    size = 1500 - overhead - (60 if v6 else 40)
    client("S", tos=0x10)
    client("A", seq=1001, ack=8, tos=0xB9)
    client("PA", data=b"hello", seq=1001, ack=8, df=False, ident=0xABCD)
    client("PA", data=b"odd", seq=1006, ack=8)
    client("A", seq=1006, ack=8, ttl=1, outcome="hop_limit")
    client("A", seq=1006, ack=8, ttl=2)
    client("A", data=b"z" * size, seq=1006, ack=8)
    client("A", data=b"z" * (size + 1), seq=1006, ack=8, outcome="too_big")
    client("A", data=b"z" * (size + overhead), seq=1006, ack=8, tos=0x28, outcome="too_big")
    inner = p.tcp(v, 80, a, 4000, "A", seq=8, ack=1001)
    if v6:
        c.client(p.icmp("2001:db8:c::fe", v, 2, 0, struct.pack("!I", 1400), inner))
    else:
        c.client(p.icmp("192.0.2.254", v, 3, 4, struct.pack("!HH", 0, 1400), inner[:28]))
        c.client(p.icmp("192.0.2.254", v, 11, 0, body=inner[:28], df=False))
    client("FA", seq=1006, ack=9)
    c.service("u", "-s rr", f"{real} -i {options}", v6=v6)
    c.client(p.udp(a, 5000, v, 80, b"ping"))
    if not v6:
        c.client(p.udp(a, 5001, v, 80, b"no checksum", no_sum=True))


def around(kind, inner, outer_source, outer_destination, cut=None):
    """What a router in a tunnel quotes: the director's packet, with the request in it."""
    head = b"" if kind == "ipip" else struct.pack("!HH", 0, 0x0800)
    protocol = 4 if kind == "ipip" else 47
    if kind == "gue":
        protocol = p.UDP
        head = struct.pack("!HHHHBBH", 40000, 6080, 12 + len(inner), 0, 0, 4, 0)
    return p.ip(outer_source, outer_destination, protocol, head + inner, ident=0)[:cut]


def tunnel_errors(c, kind, options, far):
    """What routers inside a tunnel say: unreachable, time exceeded, too big, again. The kernel
    remembers the far end's path MTU: none of another case's."""
    a, v, router, near = c.a4, c.v4, "10.1.0.9", "10.1.0.254"
    c.ignored += [f"counters.out_{what} {OWN}" for what in ("packets", "bytes")]
    c.ignored.append("tunnel.id Linux counts from a random number")
    if kind == "gue":
        c.ignored.append("udp.source_port a random hash of the flow")
    c.service("t", "-s rr", f"-r {far}:80 -i {options}")

    def client(size, outcome=OUT, **more):
        segment = p.tcp(a, 4000, v, 80, "A", data=b"z" * (size - 40), seq=1001, ack=8, **more)
        c.client(segment, outcome=outcome)
        return segment

    def error(code, about, rest=b"\0" * 4, icmp=3, cut=None, outcome="tunnel_error", **more):
        quoted = around(kind, about, near, far, cut)
        c.server(9, p.icmp(router, near, icmp, code, rest, quoted, **more), outcome=outcome)

    c.client(p.tcp(a, 4000, v, 80, "S"))
    about = client(100)
    overhead = len(around(kind, b"", near, far))
    about = about[:8] + bytes([63]) + about[9:]
    error(1, about)
    error(3, about[:28])
    error(0, about[:28], icmp=11, tos=0x20)
    error(0, about[:28], icmp=4)
    error(0, about[:28], icmp=12, outcome=KERNEL)
    error(1, about[:22], outcome=KERNEL)
    error(1, p.tcp(a, 4999, v, 80, "A")[:28], outcome=KERNEL)
    client(1500 - overhead)
    error(4, about[:28], struct.pack("!HH", 0, 1300))
    client(1300 - overhead)
    client(1301 - overhead, outcome="too_big")
    error(4, about[:28], struct.pack("!HH", 0, 1200))
    client(1200 - overhead)
    client(1201 - overhead, outcome="too_big")
    error(4, about[:28], struct.pack("!HH", 0, 1400))
    client(1201 - overhead, outcome="too_big")
    error(4, about[:28], struct.pack("!HH", 0, 100))
    client(552 - overhead)
    client(553 - overhead, outcome="too_big")


def tunnel_edit(c):
    """What -e makes of a tunnel holds for its connections too; their method stays."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.ignored.append("udp.source_port a random hash of the flow")
    where = f"-t {c.v4}:80 -r 10.1.0.3:80"
    c.service("t", "-s rr", "-r 10.1.0.3:80 -i")

    def again():
        c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001))

    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    for options in (
        "-i --tun-type gre", "-i --tun-type gue --tun-port 6080", "-i --tun-type gue --tun-port 81",
        "-i", "-m",
    ):
        c.command(f"-e {where} {options} -w 1")
        again()
        c.client(p.tcp(c.a4, 4001 + len(options), c.v4, 80, "S"))
    c.command(f"-d {where}")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001), outcome="server_removed")
    c.command(f"-a {where} -i --tun-type gre --tun-csum -w 1")
    again()


def tunnel_fragmenting(c, six_behind):
    """Packets without DF, and errors with it: the outer packet is cut."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.ignored.append("ip6.extension1 has a random id; offsets are told by lengths and data")
    c.ignored.append("udp.source_port a random hash of the flow")
    c.ignored.append("udp.checksum has it in")
    real = "-r [2001:db8:1::3]" if six_behind else "-r 10.1.0.3"
    for port, (_, options, _) in enumerate(TUNNELS[:5], 81):
        if not (six_behind and "csum" in options):
            c.service("t", "-s rr", f"{real}:{port} -i {options}", port=port)
    for port, (_, options, _) in enumerate(TUNNELS[:5], 81):
        if six_behind and "csum" in options:
            continue
        c.client(p.tcp(c.a4, 4000, c.v4, port, "S"))
        for size in 1441, 1460:
            data = bytes(i % 251 for i in range(size))
            c.client(p.tcp(c.a4, 4000, c.v4, port, "A", data, seq=1001, df=False, tos=8), out=2)
        quoted = p.tcp(c.v4, port, c.a4, 4000, "A", b"q" * 1432, seq=8, ack=1001)
        c.client(p.icmp("192.0.2.254", c.v4, 3, 1, body=quoted), out=2)


def pmtu_disc(c):
    """pmtu_disc = 0: outer packets have no DF."""
    c.ignored.append("tunnel.id Linux counts from a random number")
    c.knob("pmtu_disc", 0)
    c.service("t", "-s rr", "-r 10.1.0.1:80 -i")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", data=b"z" * 1440, seq=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001, df=False))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", data=b"z" * 1460, seq=1001), out=2)


GUE = "--tun-type gue --tun-port 6080"
TUNNELS = [
    ("tun-ipip", "--tun-type ipip", "IP in IP"),
    ("tun-gre", "--tun-type gre", "GRE"),
    ("tun-gre-csum", "--tun-type gre --tun-csum", "GRE with a checksum"),
    ("tun-gue", GUE, "GUE"),
    ("tun-gue-csum", GUE + " --tun-csum", "GUE with a checksum"),
    ("tun-gue-remcsum", GUE + " --tun-remcsum", "GUE with a remote checksum"),
]


CASES = [
    ("nat", lambda c: forwarding(c, "-m", False), "Masquerading: a connection, UDP, ToS, TTL 1."),
    ("nat-v6", lambda c: forwarding(c, "-m", True), "Masquerading over IPv6."),
    ("dr", lambda c: forwarding(c, "-g", False), "Direct routing: a connection, UDP, ToS, TTL 1."),
    ("dr-v6", lambda c: forwarding(c, "-g", True), "Direct routing over IPv6."),
    ("no-backends", no_backends, "Services without servers: ICMP port unreachable."),
    ("no-service", no_service, "Addresses and ports without a service are the local stack's."),
    ("non-syn", non_syn, "TCP without a session: only a SYN without RST makes one."),
    ("quiesce", quiesce, "Weight 0: old connections go on, new ones find no server."),
    ("overload", overload, "An upper threshold of 1 on the only server."),
    ("removed-server", removed_server, "Packets of a connection whose server was deleted."),
    ("mixed", mixed, "A masqueraded and a directly routed server in one service."),
    ("one-packet", one_packet, "One-packet scheduling: every datagram is scheduled anew."),
    ("expiry", expiry, "Sessions end by --set 4 3 2."),
    ("bad-packets", bad_packets, "Broken checksums and short packets through masquerading."),
    ("icmp", icmp_errors, "Echo to the virtual address; errors about a masqueraded connection."),
    ("icmp-v6", icmp_errors_v6, "The same over IPv6, errors from the clients' side."),
    ("icmp-dr", icmp_errors_dr, "An error about a directly routed connection."),
    ("fragmenting-nat", lambda c: fragmenting(c, "-m"), "Longer than an MTU of 1400."),
    ("fragmenting-dr", lambda c: fragmenting(c, "-g"), "Longer than an MTU of 1400."),
    ("fragmenting-options", fragmenting_options, "IPv4 options in fragments."),
    ("fragmenting-v6", fragmenting_v6, "Longer than an MTU of 1400 over IPv6."),
    ("fragments-nat", lambda c: fragments(c, "-m", False), "UDP datagrams in fragments."),
    ("fragments-dr", lambda c: fragments(c, "-g", False), "UDP datagrams in fragments."),
    ("fragments-nat-v6", lambda c: fragments(c, "-m", True), "The same over IPv6."),
    ("fragments-dr-v6", lambda c: fragments(c, "-g", True), "The same over IPv6."),
    ("fragments-tcp", fragments_tcp, "TCP segments in fragments, the header cut."),
    ("fragments-sctp", fragments_sctp, "SCTP packets in fragments."),
    ("fragments-lost", fragments_lost, "Datagrams whose fragments do not all come."),
    ("ipsec-nat", lambda c: ipsec(c, "-m"), "AH and ESP next to their key exchange."),
    ("ipsec-dr", lambda c: ipsec(c, "-g"), "AH and ESP, direct routing."),
    ("icmp-more", icmp_sums, "ICMP errors: checksums, types, fragments."),
    ("states-nat", lambda c: states(c, "-m"), "State and timeout after each packet sequence."),
    ("states-dr", lambda c: states(c, "-g"), "State and timeout when no answer is seen."),
    ("reuse-0-nat", lambda c: conn_reuse(c, "-m", 0), "conn_reuse_mode = 0: sessions stay."),
    ("reuse-0-dr", lambda c: conn_reuse(c, "-g", 0), "conn_reuse_mode = 0: sessions stay."),
    ("reuse-1-dr", lambda c: conn_reuse(c, "-g", 1), "conn_reuse_mode = 1: TIME_WAIT, CLOSE."),
    ("reuse-2-dr", lambda c: conn_reuse(c, "-g", 2), "conn_reuse_mode = 2: and FIN_WAIT."),
    ("expire-nodest", expire_nodest, "expire_nodest_conn = 1: removed and quiesced servers."),
    ("sloppy-tcp", sloppy_tcp, "sloppy_tcp = 1: anything but RST begins a session."),
    ("drop-packet-1", lambda c: drop_packet(c, 1, 4), "drop_packet = 3, am_droprate = 1."),
    ("drop-packet-3", lambda c: drop_packet(c, 3, 13), "drop_packet = 3, am_droprate = 3."),
    ("secure-nat", lambda c: secure_tcp(c, "-m"), "secure_tcp = 3: states, seen both ways."),
    ("secure-dr", lambda c: secure_tcp(c, "-g"), "secure_tcp = 3: states when no answer is seen."),
    ("nat-icmp-send", nat_icmp_send, "nat_icmp_send = 1: a server's packets without a session."),
    ("nat-icmp-send-v6", nat_icmp_send_v6, "nat_icmp_send = 1 over IPv6."),
    ("schedule-icmp", schedule_icmp, "schedule_icmp = 1: errors about flows without a session."),
    ("schedule-icmp-mark", schedule_icmp_mark, "schedule_icmp = 1: an error's mark is its own."),
    ("schedule-icmp-dh", lambda c: schedule_icmp_by_destination(c, "dh"), "schedule_icmp = 1 with dh."),
    ("schedule-icmp-lblc", lambda c: schedule_icmp_by_destination(c, "lblc"), "schedule_icmp = 1 with lblc."),
    ("schedule-icmp-lblcr", lambda c: schedule_icmp_by_destination(c, "lblcr"), "schedule_icmp = 1 with lblcr."),
    ("shared-server", shared_server, "Two services share a server: answers are the newest session's."),
    ("persistence", persistence, "-p 60 -M 255.255.255.0: a client network stays on its server."),
    ("any-port", any_port, "-p 60 on port 0: every port of the address, one server a client."),
    ("persistence-udp", persistence_udp, "-p over UDP; an answer makes a template ASSURED."),
    ("persistence-v6", persistence_v6, "-p 60 -M 64: a client's IPv6 network."),
    ("persistence-reuse", persistence_reuse, "A SYN on a closed connection of a template."),
    ("persistence-quiescent", persistence_quiescent, "Weight 0, then expire_quiescent_template."),
    ("persistence-removed", persistence_removed, "A template's server goes and comes back."),
    ("persistence-expiry", persistence_expiry, "How long templates last."),
    ("persistence-edit", persistence_edit, "-E of a persistent service under its connections."),
    ("persistence-ftp", persistence_ftp, "Port 21 takes data connections too."),
    ("ftp", ftp, "Port 21 without -p: data connections are the local stack's."),
    ("any-port-services", any_port_services, "Port 0 next to other services of its address."),
    ("fwmark", fwmark, "Services by mark next to services by address, NAT and direct routing."),
    ("fwmark-v6", fwmark_v6, "A service by mark over IPv6."),
    ("fwmark-more", fwmark_more, "Services by mark with -o and with -p."),
    ("one-packet-more", one_packet_more, "-o with -g, over IPv6, without servers, with -x and -p."),
    ("thresholds", thresholds, "-x and -y: full servers, sessions that end, edits, added again."),
    ("sctp-nat", lambda c: sctp_forwarding(c, "-m", False), "An SCTP association, masquerading."),
    ("sctp-nat-v6", lambda c: sctp_forwarding(c, "-m", True), "The same over IPv6."),
    ("sctp-dr", lambda c: sctp_forwarding(c, "-g", False), "The client's half, direct routing."),
    ("sctp-dr-v6", lambda c: sctp_forwarding(c, "-g", True), "The same over IPv6."),
    ("sctp-same-port", sctp_same_port, "SCTP to servers of the service's port; fragments."),
    ("sctp-bad", sctp_bad, "Short SCTP packets, and such as begin no association."),
    ("sctp-sloppy", sctp_sloppy, "Which packets begin an association with sloppy_sctp = 1."),
    ("sctp-icmp", sctp_icmp, "ICMP errors about a masqueraded association."),
    ("sctp-persistence", sctp_persistence, "-p over SCTP."),
    ("expire-nodest-later", expire_nodest_later, "expire_nodest_conn = 1 after a removal."),
    ("returned-server", returned_server, "A server that was removed counts on when it is back."),
    *[(name, lambda c, o=o: tunnel(c, o), f"Tunnel: {what}.") for name, o, what in TUNNELS],
    *[(name + "-v6", lambda c, o=o: tunnel(c, o, v6=True), f"Tunnel: {what}, IPv6 in IPv6.")
      for name, o, what in TUNNELS],
    *[(name + "-4in6", lambda c, o=o: tunnel(c, o, six_behind=True), f"Tunnel: {what}, IPv4 in IPv6.")
      for name, o, what in TUNNELS],
    *[(name + "-6in4", lambda c, o=o: tunnel(c, o, v6=True, six_behind=False),
       f"Tunnel: {what}, IPv6 in IPv4.") for name, o, what in TUNNELS],
    ("tun-errors", lambda c: tunnel_errors(c, "ipip", "", "10.1.0.4"), "ICMP of routers inside a tunnel."),
    ("tun-errors-gre", lambda c: tunnel_errors(c, "gre", "--tun-type gre", "10.1.0.5"),
     "The same with GRE."),
    ("tun-errors-gue", lambda c: tunnel_errors(c, "gue", GUE, "10.1.0.6"), "The same with GUE."),
    ("tun-edit", tunnel_edit, "A tunnel edited under its connections, removed and added again."),
    ("tun-pmtu-disc", pmtu_disc, "pmtu_disc = 0."),
    ("tun-cut", lambda c: tunnel_fragmenting(c, False), "Too long for a tunnel, without DF."),
    ("tun-cut-4in6", lambda c: tunnel_fragmenting(c, True), "The same, IPv4 in IPv6."),
    *record_mss.CASES,
    *record_sip_ftp.CASES,
    *record_more.CASES,
    *record_schedulers.CASES,
    *record_families.CASES,
    *record_mixes.CASES,
]


def load_ftp(wanted):
    """Cases of the helper need its module; the others were recorded without it."""
    sh("modprobe ip_vs_ftp" if wanted else "rmmod ip_vs_ftp", wanted)


def main():
    folder, only = sys.argv[1], [name for name in sys.argv[2:] if name]
    set_up()
    release = os.uname().release
    tool = re.search(r"v([\d.]+)", sh("ipvsadm --version")).group(1)
    origin = f"Recorded from the IPVS of Linux {release} with ipvsadm {tool} by record_packets.py."
    for name, run, about in CASES:
        if only and name not in only:
            Case.number += 1  # the same addresses, whatever else is recorded
            continue
        others = OTHERS if re.search("persist|port|mark|ipsec|sip", name) else []
        others = record_schedulers.CLIENTS if name.startswith("sched-") else others
        others = others + record_schedulers.CLIENTS6 if re.match("sched-.*-mark", name) else others
        case = Case(name, f"{about}\n{origin}", others)
        print(name, flush=True)
        load_ftp(name.startswith("ftp-"))
        run(case)
        case.finish(folder, look=not case.sessions)


if __name__ == "__main__":
    main()
