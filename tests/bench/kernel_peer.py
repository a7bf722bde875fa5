#!/usr/bin/env python3
"""kernel_peer.py [SECONDS]: what this kernel takes to translate the same 64-byte frames (DNAT by nftables and
conntrack), as JSON: nanoseconds of CPU time a packet, with 1 flow and with 65,536.

Runs itself in a network namespace of its own (as root): frames are sent out of one end of a veth pair by a
packet socket's transmit ring, whose one system call carries them through the kernel, softirq and all, until
they are dropped behind the other pair. So the thread's CPU time is the packets' whole cost. `source` is the same with all of them dropped
where they enter, `forward` without translation. Exit 0, or 1: one sentence says why it is not possible.
"""

import ctypes
import json
import mmap
import os
import socket
import statistics
import struct
import subprocess
import sys
import time

FRAMES, ROOM = 65536, 256  # of the ring
VERSION, TX_RING, QDISC_BYPASS, SOL_PACKET = 10, 13, 20, 263
SEND_REQUEST, DATA_AT = 1, 32  # TPACKET_V2: struct tpacket2_hdr, where the frame begins
SERVERS = 64

SETUP = """
ip link set lo up
ip link add in0 type veth peer name in1
ip link add out0 type veth peer name out1
ip link set in1 address 02:5b:00:00:00:01
ip link set in0 up
ip link set in1 up
ip link set out0 up
ip link set out1 up
ip addr add 198.51.100.1/32 dev in1
ip addr add 203.0.113.1/32 dev in1
ip route add 203.0.0.0/16 dev in1
ip addr add 10.1.0.254/24 dev out0
ip neigh add 198.51.100.9 lladdr 02:00:00:00:00:fe dev out0
ip route add 198.51.100.9/32 dev out0
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.in1.rp_filter=0
"""
CHAIN = """table {table} {{
  chain c {{
    type {hook}; policy accept;
    {rule}
  }}
}}
"""
SINK = CHAIN.format(table="netdev sink", hook="filter hook ingress device out1 priority 0",
                    rule="counter drop")
DROP = CHAIN.format(table="netdev source", hook="filter hook ingress device in1 priority 0",
                    rule="counter drop")
DNAT = CHAIN.format(
    table="ip nat", hook="nat hook prerouting priority -100",
    rule="ip daddr 198.51.100.1 tcp dport 80 dnat to jhash ip saddr . tcp sport mod %d map { %s }" % (
        SERVERS, ", ".join(f"{i} : 10.1.0.{i + 1}" for i in range(SERVERS))))


class Trouble(Exception):
    pass


def command(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"`{' '.join(words)}`: {(done.stderr or done.stdout).strip().splitlines()[0]}")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def frame(flow, destination):
    """An ACK of a flow; the connection is picked up in the middle (nf_conntrack_tcp_loose)."""
    source = bytes([203, 0, 113, 2 + flow // 32768])
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 50, 0, 0x4000, 64, 6, 0, source, destination)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    tcp = struct.pack("!HHIIBBHHH", 32768 + flow % 32768, 80, 1, 1, 0x50, 0x10, 65535, 0, 0)
    body = tcp + bytes(10)
    pseudo = source + destination + struct.pack("!HH", 6, len(body))
    body = body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:]
    return bytes.fromhex("025b00000001 0200000000fe 0800") + ip + body


class Ring:
    """A transmit ring full of frames, which go all at once."""

    def __init__(self, flows, destination):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, VERSION, struct.pack("i", 1))  # TPACKET_V2
        self.socket.setsockopt(SOL_PACKET, QDISC_BYPASS, struct.pack("i", 1))
        block = 1 << 16
        self.socket.setsockopt(SOL_PACKET, TX_RING,
                               struct.pack("IIII", block, FRAMES * ROOM // block, ROOM, FRAMES))
        self.socket.bind(("in0", 0x0800))
        self.memory = mmap.mmap(self.socket.fileno(), FRAMES * ROOM)
        for i in range(FRAMES):
            data = frame(i % flows, destination)
            self.memory[i * ROOM + DATA_AT:i * ROOM + DATA_AT + len(data)] = data
            self.memory[i * ROOM + 4:i * ROOM + 8] = struct.pack("I", len(data))
        self.status = (ctypes.c_uint32 * (FRAMES * ROOM // 4)).from_buffer(self.memory)

    def send(self):
        """CPU nanoseconds of sending all frames once."""
        for i in range(0, FRAMES * ROOM // 4, ROOM // 4):
            self.status[i] = SEND_REQUEST
        begin = time.thread_time_ns()
        self.socket.send(b"")
        return time.thread_time_ns() - begin

    def close(self):
        del self.status
        self.memory.close()
        self.socket.close()


def sent_on():
    with open("/proc/self/net/dev") as file:
        (line,) = (line for line in file if line.strip().startswith("out0:"))
    return int(line.split()[10])  # packets transmitted


def measure(flows, seconds, rules, forwards, destination=bytes([198, 51, 100, 1])):
    command("nft", "flush", "ruleset")
    command("nft", "-f", "-", text=SINK + rules)
    ring = Ring(flows, destination)
    try:
        ring.send()  # what is first seen is not measured
        times, before = [], sent_on()
        end = time.monotonic() + seconds
        while not times or time.monotonic() < end:
            times.append(ring.send() / FRAMES)
        share = (sent_on() - before) / (FRAMES * len(times))
        if forwards and share < 0.99:
            raise Trouble(f"only {share * 100:.0f} % of the packets came through the kernel")
        return statistics.median(times)
    finally:
        ring.close()


def inside(seconds):
    for line in SETUP.strip().splitlines():
        command(*line.split())
    for i in range(SERVERS):
        command("ip", "neigh", "add", f"10.1.0.{i + 1}", "lladdr", "02:00:00:00:00:fe", "dev", "out0")
    try:  # not in every kernel, and not in every namespace
        command("sysctl", "-qw", "net.netfilter.nf_conntrack_max=1048576")
    except Trouble:
        pass
    rows = []
    for flows in (1, 65536):
        rows.append({"flows": flows,
                     "source_nanoseconds": measure(flows, seconds, DROP, False),
                     "forward_nanoseconds": measure(flows, seconds, "", True,
                                                    bytes([198, 51, 100, 9])),
                     "dnat_nanoseconds": measure(flows, seconds, DNAT, True)})
    print(json.dumps(rows))


def main():
    if sys.argv[1:2] == ["--inside"]:
        return inside(float(sys.argv[2]))
    if os.geteuid() != 0:
        raise Trouble("only root can make a network namespace")
    return subprocess.run(["unshare", "--net", sys.executable, __file__, "--inside",
                           sys.argv[1] if len(sys.argv) > 1 else "1"]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, OSError) as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(1)
