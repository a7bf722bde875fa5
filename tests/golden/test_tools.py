#!/usr/bin/env python3
"""The tools of the golden tests, tested without shunt-replay: test_tools.py.

What is shown here: capture files survive every format; the dissector names every bit of a frame;
the comparison finds every planted difference in every recorded case.
"""

import glob
import json
import os
import sys
import unittest

import fates
import packet as p
import pcap
import run_captures
import tunnels
import run_packets as golden

sys.path.insert(0, os.path.join(golden.HERE, "..", "..", "pcap"))
import make_captures  # noqa: E402

CASES = sorted(glob.glob(os.path.join(golden.HERE, "packets", "*")))
# Cases in which wrong checksums are sent and stay wrong.
BAD_SUMS = "bad-packets", "sctp-same-port", "sctp-dr", "sctp-dr-v6"
M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"


def samples():
    a, b, six, seven = "192.0.2.1", "198.51.100.2", "2001:db8::6", "2001:db8::7"
    inner = p.tcp(b, 80, a, 4000, "A")
    yield p.ethernet(M1, M2, p.tcp(a, 4000, b, 80, "SA", b"abc"))
    yield p.ethernet(M1, M2, p.udp(a, 5000, b, 53, b"abcd", options=b"\1\1\1\0")) + b"\0" * 6
    yield p.ethernet(M1, M2, p.sctp(a, 4000, b, 80, p.chunk(10, b"cookie") + p.chunk(6)))
    yield p.ethernet(M1, M2, p.icmp(a, b, 3, 4, b"\0\0\5\x78", inner[:28]))
    yield p.ethernet(M1, M2, p.ip(a, b, p.UDP, b"x" * 16, offset=800, df=False))
    yield p.ethernet(M1, M2, p.tcp(six, 4000, seven, 80, "F", b"z"))
    yield p.ethernet(M1, M2, p.icmp(six, seven, 1, 4, body=p.udp(seven, 1, six, 2)))
    extension = bytes([17, 0]) + b"\0" * 6
    datagram = p.udp_datagram(six, 1, seven, 2)
    yield p.ethernet(M1, M2, p.ip(six, seven, 60, extension + datagram))
    yield p.ethernet(M1, M2, p.ip(six, seven, 44, b"\x11\0\5\x39\0\0\0\7" + b"later"))
    yield p.ethernet(M1, M2, b"\0\1\x08\0 an ARP request", kind=0x0806)
    yield b"short"


class Captures(unittest.TestCase):
    def test_every_format_survives(self):
        packets = [pcap.packet(0, b"x" * 60), pcap.packet(1700000000.123456, b"y", length=1500)]
        for ns in False, True:
            for big in False, True:
                raw = pcap.render(packets, nanoseconds=ns, big_endian=big)
                back = pcap.parse(raw)
                self.assertEqual(back.packets, packets)
                self.assertEqual((back.nanoseconds, back.big_endian), (ns, big))
                self.assertFalse(back.truncated)

    def test_nanoseconds_are_kept(self):
        packets = [pcap.Packet(1_000_000_001, b"z", 1)]
        self.assertEqual(pcap.parse(pcap.render(packets, nanoseconds=True)).packets, packets)
        self.assertEqual(pcap.parse(pcap.render(packets)).packets[0].time, 1_000_000_000)

    def test_cut_record_is_reported(self):
        raw = pcap.render([pcap.packet(0, b"x" * 60), pcap.packet(1, b"y" * 60)])
        for missing in 1, 59, 60, 61, 75:
            back = pcap.parse(raw[:-missing])
            self.assertEqual((len(back.packets), back.truncated), (1, True), missing)

    def test_no_capture(self):
        for raw in b"", b"\x0a\x0d\x0d\x0a" + b"\0" * 40:
            self.assertRaises(pcap.CaptureError, pcap.parse, raw)


class Dissector(unittest.TestCase):
    def test_every_bit_has_a_name(self):
        for frame in samples():
            fields = p.dissect(frame)
            for bit in range(len(frame) * 8):
                other = bytearray(frame)
                other[bit // 8] ^= 1 << bit % 8
                self.assertNotEqual(p.dissect(bytes(other)), fields, f"{frame.hex()} bit {bit}")

    def test_never_fails_on_cut_frames(self):
        for frame in samples():
            for size in range(len(frame)):
                self.assertTrue(p.dissect(frame[:size]) or size == 0)

    def test_checksums_against_a_known_packet(self):
        # the SYN of packets/nat as Linux recorded it, and its checksums
        known = "45100028123440003f06e388cb0071010a0100010fa01f90000003e8000000005002ffff36c70000"
        made = p.tcp("203.0.113.1", 4000, "10.1.0.1", 8080, "S", ttl=63, tos=0x10)
        self.assertEqual(made.hex(), known)
        fields = p.dissect(p.ethernet(M1, M2, made))
        self.assertTrue(fields["ip.checksum_valid"] and fields["tcp.checksum_valid"])
        broken = p.tcp("203.0.113.1", 4000, "10.1.0.1", 8080, bad_tcp=True, bad_sum=True)
        fields = p.dissect(p.ethernet(M1, M2, broken))
        self.assertFalse(fields["ip.checksum_valid"] or fields["tcp.checksum_valid"])


class Recordings(unittest.TestCase):
    def test_recorded_cases_agree_with_themselves(self):
        self.assertGreater(len(CASES), 20)
        for case in CASES:
            wanted = json.loads(golden.text_of(case, "expected.json"))
            sent = pcap.read(f"{case}/in.pcap").packets
            out = pcap.read(f"{case}/expected.pcap").packets
            self.assertEqual(golden.accounting(wanted), [], case)
            self.assertEqual(len(sent), wanted["packets_in"], case)
            self.assertEqual(len(out), wanted["packets_out"], case)
            self.assertLessEqual({x.time for x in out}, {x.time for x in sent}, case)

    def test_every_frame_out_has_good_checksums(self):
        for case in CASES:
            if case.endswith(BAD_SUMS):
                continue
            for frame in pcap.read(f"{case}/expected.pcap").packets:
                fields = p.dissect(frame.data)
                sums = {k: v for k, v in fields.items() if "inner" not in k and "_valid" in k}
                self.assertNotIn(False, sums.values(), f"{case}: {fields}")


class Comparison(unittest.TestCase):
    def test_planted_differences_in_frames_are_found(self):
        for case in CASES:
            frames = pcap.read(f"{case}/expected.pcap").packets
            self.assertEqual(golden.compare_captures(frames, frames), [])
            for number, frame in enumerate(frames):
                for place in {0, 7, 22, 30, len(frame.data) - 1}:
                    data = bytearray(frame.data)
                    data[place] ^= 0x10
                    planted = list(frames)
                    planted[number] = pcap.Packet(frame.time, bytes(data), frame.length)
                    self.assertTrue(golden.compare_captures(frames, planted), f"{case} {number}")
                late = pcap.Packet(frame.time + 1000, frame.data, frame.length)
                planted = [*frames[:number], late, *frames[number + 1 :]]
                self.assertTrue(golden.compare_captures(frames, planted))
                self.assertTrue(golden.compare_captures(frames, frames[:number]))

    def test_random_fields_of_made_errors_are_ignored_and_nothing_else(self):
        about = p.tcp("192.0.2.9", 1, "10.0.0.1", 2)
        error = p.icmp("198.51.100.1", "192.0.2.9", 11, 0, body=about)
        other = p.icmp("198.51.100.1", "192.0.2.9", 11, 0, body=about, ident=7)
        a, b = p.ethernet(M1, M2, error), p.ethernet(M1, M2, other)
        self.assertEqual(golden.compare_frames(a, b, golden.OF_GENERATED), [])
        self.assertEqual(len(golden.compare_frames(a, b)), 2)
        c = bytearray(b)
        c[24] ^= 1  # the header checksum may differ, but must be valid
        found = golden.compare_frames(a, bytes(c), golden.OF_GENERATED)
        self.assertEqual(found, ["ip.checksum_valid: expected True, got False"])

    def test_sessions(self):
        row = dict(protocol="TCP", state="CLOSE", client="a:1", virtual="v:80", server="s:80")
        wanted = [{**row, "seconds_left": 9, "at": 1.0}]
        for left in 6, 7, 8:  # 9 to 10 s were left at 1 s, so 6.5 to 7.5 at 3.5 s
            self.assertEqual(golden.compare_sessions(wanted, [{**row, "expires": left}], 3.5), [])
        for left in 5, 9:
            self.assertTrue(golden.compare_sessions(wanted, [{**row, "expires": left}], 3.5))
        self.assertTrue(golden.compare_sessions(wanted, [], 3.5))
        extra = [{**row, "expires": 7}, {**row, "client": "a:2", "expires": 7}]
        self.assertEqual(len(golden.compare_sessions(wanted, extra, 3.5)), 1)
        late = [{**row, "state": "ESTABLISHED", "expires": 7}]
        self.assertEqual(len(golden.compare_sessions(wanted, late, 3.5)), 1)

    def test_counts_and_counters(self):
        wanted = dict.fromkeys(golden.COUNTS, 0) | {"dropped": {"no_server": 1}}
        self.assertEqual(golden.compare_counts(wanted, wanted), [])
        other = wanted | {"packets_out": 1, "dropped": {"hop_limit": 1, "no_server": 1, "x": 0}}
        self.assertEqual(len(golden.compare_counts(wanted, other)), 2)
        self.assertTrue(golden.accounting(other))
        row = dict.fromkeys(golden.COUNTERS, 3)
        wanted = [{"service": "TCP [v::1]:80", "server": "10.0.0.1:80", **row}]
        server = {"address": "10.0.0.1", "port": 80, **row}
        services = [{"protocol": "TCP", "fwmark": 0, "address": "v::1", "port": 80, "servers": [server]}]
        self.assertEqual(golden.compare_counters(wanted, services), [])
        server["in_bytes"] = 4
        self.assertEqual(len(golden.compare_counters(wanted, services)), 1)
        self.assertEqual(golden.compare_counters(wanted, services, {"counters.in_bytes"}), [])
        self.assertEqual(len(golden.compare_counters(wanted, [])), 1)
        self.assertEqual(len(golden.compare_counters([], services)), 1)


class Foretelling(unittest.TestCase):
    """fates.py against the recordings of the real IPVS."""

    def foretell(self, name):
        case = os.path.join(golden.HERE, "packets", name)
        services, pending = [], []
        for file in ["rules"] + [f for f in os.listdir(case) if f.startswith("at-")]:
            pending += golden.text_of(case, file).splitlines()
        for line in sorted(pending, key=lambda x: x.startswith("-a")):
            words = line.split()
            if words[0] != "-a":
                continue
            (address, port), (server, server_port) = map(split, (words[2], words[4]))
            protocol = p.TCP if words[1] == "-t" else p.UDP
            tunnel = next((t for t in tunnels.ALL if t.options == " ".join(words[6:-2])), None)
            made = fates.Service(protocol, address, port, words[5], server, server_port, False, tunnel)
            services.append(made)
        capture = pcap.read(f"{case}/in.pcap")
        foretold, model = run_captures.foretell(capture, services)
        wanted = json.loads(golden.text_of(case, "expected.json"))
        return case, capture, foretold, model, wanted

    def test_counts_sessions_and_frames(self):
        for name in "dr", "dr-v6", "states-dr", "icmp-dr", "no-service", "non-syn", "bad-packets":
            case, capture, foretold, model, wanted = self.foretell(name)
            self.assertEqual(run_captures.check_counts(wanted, foretold), [], name)
            living = {flow[:3]: s.state for flow, s in model.living().items()}
            numbers = {"TCP": p.TCP, "UDP": p.UDP}
            left = {}
            for row in wanted["sessions"]:
                left[(numbers[row["protocol"]], *split(row["client"]))] = row["state"]
            self.assertEqual(living, left, name)
            written = pcap.read(f"{case}/expected.pcap").packets
            self.assertEqual(run_captures.check_frames(capture, foretold, written), [], name)
            self.assertTrue(run_captures.check_frames(capture, foretold, written[:-1]), name)
            self.assertTrue(run_captures.check_frames(capture, foretold, written + written[:1]))
            for place in 0, 8, 23, 31, 40:
                data = bytearray(written[-1].data)
                data[place] ^= 1
                planted = [*written[:-1], pcap.Packet(written[-1].time, bytes(data), 0)]
                self.assertTrue(run_captures.check_frames(capture, foretold, planted), name)

    def test_tunnels(self):
        self.addCleanup(setattr, tunnels, "NEAR", tunnels.NEAR)
        tunnels.NEAR = "10.1.0.254", "2001:db8:1::fe"  # the recorded director's
        kinds = "ipip", "gre", "gre-csum", "gue", "gue-csum", "gue-remcsum"
        for name in [f"tun-{k}{ends}" for k in kinds for ends in ("", "-v6", "-4in6", "-6in4")]:
            case, capture, foretold, _, wanted = self.foretell(name)
            self.assertEqual(run_captures.check_counts(wanted, foretold), [], name)
            written = pcap.read(f"{case}/expected.pcap").packets
            self.assertEqual(run_captures.check_frames(capture, foretold, written), [], name)
            last = written[-1].data
            six = last[12:14] == b"\x86\xdd"
            shim = foretold[-1].service.overhead + 14
            places = (0, 12, 14, 15, 20 if six else 23, 21 if six else 22, 40 if six else 32, shim - 1, shim + 9)
            for place in places:
                data = bytearray(last)
                data[place] ^= 1
                planted = [*written[:-1], pcap.Packet(written[-1].time, bytes(data), 0)]
                self.assertTrue(run_captures.check_frames(capture, foretold, planted), f"{name} {place}")

    def test_wrong_counts_are_found(self):
        _, _, foretold, _, wanted = self.foretell("dr")
        for name in "packets_in", "packets_out", "packets_kernel", "generated", "held_at_end":
            changed = wanted | {name: wanted[name] + 1}
            self.assertTrue(run_captures.check_counts(changed, foretold), name)
        moved = wanted | {"packets_out": 11, "packets_kernel": 1}
        self.assertEqual(len(run_captures.check_counts(moved, foretold)), 2)
        changed = wanted | {"dropped": {"too_big": 1}}
        self.assertEqual(len(run_captures.check_counts(changed, foretold)), 2)

    def test_captures_are_what_their_script_makes(self):
        folder = os.path.join(golden.HERE, "..", "..", "pcap")
        made = make_captures.captures()
        for name, data in made.items():
            with open(os.path.join(folder, name), "rb") as file:
                self.assertEqual(file.read(), data, name)
        there = {f for f in os.listdir(folder) if f.endswith(".pcap")}
        self.assertEqual(there, set(made))
        self.assertLess(sum(map(len, made.values())), 400_000)


def split(text):
    address, _, port = text.rpartition(":")
    return p.pack_address(address.strip("[]")), int(port)


if __name__ == "__main__":
    unittest.main()
