#!/usr/bin/env python3
"""The tools of the golden tests, tested without shunt-replay: test_tools.py.

What is shown here: capture files survive every format; the dissector names every bit of a frame;
the comparison finds every planted difference in every recorded case.
"""

import glob
import json
import os
import unittest

import packet as p
import pcap
import run_packets as golden

CASES = sorted(glob.glob(os.path.join(golden.HERE, "packets", "*")))
M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"


def samples():
    a, b, six, seven = "192.0.2.1", "198.51.100.2", "2001:db8::6", "2001:db8::7"
    inner = p.tcp(b, 80, a, 4000, "A")
    yield p.ethernet(M1, M2, p.tcp(a, 4000, b, 80, "SA", b"abc"))
    yield p.ethernet(M1, M2, p.udp(a, 5000, b, 53, b"abcd", options=b"\1\1\1\0")) + b"\0" * 6
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
            if case.endswith("bad-packets"):
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
        error = p.icmp("198.51.100.1", "192.0.2.9", 11, 0, body=p.tcp("192.0.2.9", 1, "10.0.0.1", 2))
        other = p.icmp(
            "198.51.100.1", "192.0.2.9", 11, 0, body=p.tcp("192.0.2.9", 1, "10.0.0.1", 2), ident=7
        )
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
            self.assertEqual(golden.compare_sessions(wanted, [{**row, "seconds_left": left}], 3.5), [])
        for left in 5, 9:
            self.assertTrue(golden.compare_sessions(wanted, [{**row, "seconds_left": left}], 3.5))
        self.assertTrue(golden.compare_sessions(wanted, [], 3.5))
        extra = [{**row, "seconds_left": 7}, {**row, "client": "a:2", "seconds_left": 7}]
        self.assertEqual(len(golden.compare_sessions(wanted, extra, 3.5)), 1)
        late = [{**row, "state": "ESTABLISHED", "seconds_left": 7}]
        self.assertEqual(len(golden.compare_sessions(wanted, late, 3.5)), 1)

    def test_counts_and_counters(self):
        wanted = dict.fromkeys(golden.COUNTS, 0) | {"dropped": {"no_server": 1}}
        self.assertEqual(golden.compare_counts(wanted, wanted), [])
        other = wanted | {"packets_out": 1, "dropped": {"hop_limit": 1, "no_server": 1, "x": 0}}
        self.assertEqual(len(golden.compare_counts(wanted, other)), 2)
        self.assertTrue(golden.accounting(other))
        rows = [dict(service="TCP v:80", server=None) | dict.fromkeys(golden.COUNTERS, 3)]
        self.assertEqual(golden.compare_counters(rows, rows), [])
        changed = [rows[0] | {"in_bytes": 4}]
        self.assertEqual(len(golden.compare_counters(rows, changed)), 1)
        self.assertEqual(golden.compare_counters(rows, changed, {"counters.in_bytes"}), [])
        self.assertEqual(len(golden.compare_counters(rows, [])), 1)


if __name__ == "__main__":
    unittest.main()
