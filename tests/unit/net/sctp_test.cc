// SCTP in parse.h and edit.h. What is expected of chunks and short packets was seen in the IPVS of
// Linux 6.1.176.
#include <gtest/gtest.h>

#include "frames.h"
#include "net/edit.h"
#include "net/parse.h"

namespace shunt::net {
namespace {

using namespace frames;
using Chunk = SctpChunkHeader;

const char *const kClient = "203.0.113.1", *const kVirtual = "198.51.100.1",
                  *const kServer = "10.1.0.1";
const char *const kClient6 = "2001:db8:cafe::1", *const kVirtual6 = "2001:db8:f::1",
                  *const kServer6 = "2001:db8:1::1";

Bytes cut(Bytes bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

Parsed parsed(const Bytes& payload) {
  return Look(Packet{kClient, kVirtual, kSctp, payload}.frame()).parsed;
}

TEST(Sctp, IsAFlow) {
  Look four(flow(kClient, kVirtual, kSctp, 4000, 80, chunk(Chunk::kInit, Bytes(16))).frame());
  EXPECT_EQ(four.parsed.kind, Kind::kFlow);
  EXPECT_EQ(four.text(), "132 203.0.113.1:4000 > 198.51.100.1:80");
  EXPECT_TRUE(four.parsed.has_chunk);
  EXPECT_EQ(four.parsed.chunk_type, Chunk::kInit);
  Look six(flow(kClient6, kVirtual6, kSctp, 4000, 80, chunk(Chunk::kShutdown, Bytes(4))).frame());
  EXPECT_EQ(six.parsed.kind, Kind::kFlow);
  EXPECT_EQ(six.text(), "132 [2001:db8:cafe::1]:4000 > [2001:db8:f::1]:80");
  EXPECT_EQ(six.parsed.chunk_type, Chunk::kShutdown);
}

// Linux forwards a packet of a session without a whole chunk header; its state does not see it.
TEST(Sctp, NeedsItsHeaderButNoChunk) {
  const Bytes whole = sctp(4000, 80, chunk(Chunk::kInit, Bytes(16)));
  for (size_t size = 0; size <= whole.size(); size++) {
    const Parsed about = parsed(cut(whole, size));
    EXPECT_EQ(about.kind, size < 12 ? Kind::kBad : Kind::kFlow) << size;
    EXPECT_EQ(about.bad, size < 12 ? Bad::kShortTransport : Bad::kNone) << size;
    EXPECT_EQ(about.has_chunk, size >= 16) << size;
  }
}

TEST(Sctp, AbortCountsBehindACookie) {
  const Bytes abort = chunk(Chunk::kAbort);
  auto with_length = [&](uint16_t length) {
    Bytes cookie = chunk(Chunk::kCookieEcho);
    put16(cookie, 2, length);
    return cookie + abort;
  };
  struct {
    const char* what;
    Bytes chunks;
    bool is_aborted;
  } const cases[] = {
      {"COOKIE ECHO, ABORT", chunk(Chunk::kCookieEcho, Bytes(20)) + abort, true},
      {"COOKIE ECHO with padding, ABORT", chunk(Chunk::kCookieEcho, Bytes(21)) + abort, true},
      {"COOKIE ACK, ABORT", chunk(Chunk::kCookieAck) + abort, true},
      {"COOKIE ECHO", chunk(Chunk::kCookieEcho, Bytes(20)), false},
      {"COOKIE ECHO, DATA, ABORT", chunk(Chunk::kCookieEcho) + chunk(0, Bytes(12)) + abort, false},
      {"COOKIE ECHO, SHUTDOWN", chunk(Chunk::kCookieEcho) + chunk(Chunk::kShutdown), false},
      {"length 0", with_length(0), false},
      {"length 3", with_length(3), false},
      {"length beyond the packet", with_length(5000), false},
      {"longest length", with_length(65535), false},
      {"three bytes of ABORT", cut(chunk(Chunk::kCookieEcho) + abort, 7), false},
      {"DATA, ABORT", chunk(0, Bytes(12)) + abort, false},
      {"ERROR, ABORT", chunk(Chunk::kError) + abort, false},
      {"INIT, ABORT", chunk(Chunk::kInit, Bytes(16)) + abort, false},
      {"ABORT alone", abort, false},
  };
  for (const auto& c : cases) {
    const Parsed about = parsed(sctp(4000, 80, c.chunks));
    EXPECT_TRUE(about.has_chunk) << c.what;
    EXPECT_EQ(about.chunk_type, c.chunks[0]) << c.what;
    EXPECT_EQ(about.is_aborted, c.is_aborted) << c.what;
  }
}

TEST(Sctp, FirstFragmentsHavePortsAndChunk) {
  const Bytes whole = sctp(4000, 80, chunk(Chunk::kInit, Bytes(40)));
  auto of = [&](size_t size, uint16_t fragment) {
    Packet packet{kClient, kVirtual, kSctp, cut(whole, size)};
    packet.fragment = fragment;
    return Look(packet.frame());
  };
  const Look first = of(24, 0x2000);
  EXPECT_EQ(first.parsed.kind, Kind::kFragment);
  EXPECT_TRUE(first.parsed.has_ports);
  EXPECT_EQ(first.text(), "132 203.0.113.1:4000 > 198.51.100.1:80");
  EXPECT_TRUE(first.parsed.has_chunk);
  EXPECT_EQ(first.parsed.chunk_type, Chunk::kInit);
  EXPECT_FALSE(of(8, 0x2000).parsed.has_ports);
  const Look later = of(24, 0x2002);
  EXPECT_FALSE(later.parsed.has_ports);
  EXPECT_FALSE(later.parsed.has_chunk);
}

TEST(Sctp, QuotedInErrors) {
  const Packet about = flow(kVirtual, kClient, kSctp, 80, 4000, chunk(0, Bytes(12)));
  const char* tuple = "132 198.51.100.1:80 > 203.0.113.1:4000";
  for (size_t quoted : {28, 32, 200}) {
    Look look(error("192.0.2.254", kVirtual, 3, 4, about, quoted).frame());
    EXPECT_EQ(look.parsed.kind, Kind::kIcmpError) << quoted;
    EXPECT_EQ(look.text(), tuple) << quoted;
  }
  EXPECT_EQ(Look(error("192.0.2.254", kVirtual, 3, 4, about, 27).frame()).parsed.kind,
            Kind::kOther);
}

Tuple<V4> tuple4(const char* source, uint16_t source_port, const char* destination,
                 uint16_t destination_port) {
  return {parse_address(source)->v4(),
          parse_address(destination)->v4(),
          be16(source_port),
          be16(destination_port),
          kSctp,
          {}};
}
Tuple<V6> tuple6(const char* source, uint16_t source_port, const char* destination,
                 uint16_t destination_port) {
  return {parse_address(source)->v6(),
          parse_address(destination)->v6(),
          be16(source_port),
          be16(destination_port),
          kSctp,
          {}};
}

template <class F>
Bytes translated(const Bytes& frame, const Tuple<F>& from, const Tuple<F>& to) {
  Exact exact(frame);
  Look look(exact);
  translate(exact.data.get(), look.parsed, make_translation(from, to));
  return exact.bytes();
}

TEST(Sctp, ChangedPortsMakeTheChecksumAnew) {
  for (size_t length : {0, 1, 5, 900}) {
    const Bytes data = chunk(0, Bytes(length, 0xa5));
    EXPECT_EQ(to_hex(translated(flow(kClient, kVirtual, kSctp, 4000, 80, data).frame(),
                                tuple4(kClient, 4000, kVirtual, 80),
                                tuple4(kClient, 4000, kServer, 8080))),
              to_hex(flow(kClient, kServer, kSctp, 4000, 8080, data).frame()));
    EXPECT_EQ(to_hex(translated(flow(kServer6, kClient6, kSctp, 8080, 4000, data).frame(),
                                tuple6(kServer6, 8080, kClient6, 4000),
                                tuple6(kVirtual6, 80, kClient6, 4000))),
              to_hex(flow(kVirtual6, kClient6, kSctp, 80, 4000, data).frame()));
  }
}

TEST(Sctp, EthernetPaddingIsNotSummed) {
  const Bytes chunks = chunk(Chunk::kCookieAck), padding(18, 0xee);
  EXPECT_EQ(
      to_hex(translated(flow(kClient, kVirtual, kSctp, 4000, 80, chunks).frame() + padding,
                        tuple4(kClient, 4000, kVirtual, 80), tuple4(kClient, 4000, kServer, 8080))),
      to_hex(flow(kClient, kServer, kSctp, 4000, 8080, chunks).frame() + padding));
}

TEST(Sctp, WrongChecksumsStayUntilAPortChanges) {
  Packet wrong = flow(kClient, kVirtual, kSctp, 4000, 80, chunk(0, Bytes(12)));
  wrong.payload[8] ^= 1;
  Packet moved = wrong;
  moved.destination = kServer;
  EXPECT_EQ(to_hex(translated(wrong.frame(), tuple4(kClient, 4000, kVirtual, 80),
                              tuple4(kClient, 4000, kServer, 80))),
            to_hex(moved.frame()));
  EXPECT_EQ(to_hex(translated(wrong.frame(), tuple4(kClient, 4000, kVirtual, 80),
                              tuple4(kClient, 4000, kServer, 8080))),
            to_hex(flow(kClient, kServer, kSctp, 4000, 8080, chunk(0, Bytes(12))).frame()));
}

// An IPv6 packet that is whole behind a fragment header (RFC 6946).
TEST(Sctp, AtomicFragmentsAreWhole) {
  auto atomic = [](const char* destination, uint16_t port) {
    return Packet{kClient6, destination, 44,
                  Bytes{kSctp, 0, 0, 0, 0, 0, 0, 9} + sctp(4000, port, chunk(0, Bytes(12)))}
        .frame();
  };
  EXPECT_EQ(to_hex(translated(atomic(kVirtual6, 80), tuple6(kClient6, 4000, kVirtual6, 80),
                              tuple6(kClient6, 4000, kServer6, 8080))),
            to_hex(atomic(kServer6, 8080)));
}

TEST(Sctp, FragmentsKeepTheirChecksumWithTheirPorts) {
  Packet before = flow(kClient, kVirtual, kSctp, 4000, 80, chunk(0, Bytes(12)));
  before.fragment = 0x2000;
  Packet after = before;
  after.destination = kServer;
  EXPECT_EQ(to_hex(translated(before.frame(), tuple4(kClient, 4000, kVirtual, 80),
                              tuple4(kClient, 4000, kServer, 80))),
            to_hex(after.frame()));
}

TEST(Sctp, FillsTheChecksum) {
  const Bytes right = flow(kClient, kVirtual, kSctp, 4000, 80, chunk(0, Bytes(7))).frame();
  Bytes blank = right;
  for (size_t i = 0; i < 4; i++) blank[34 + 8 + i] = 0xcc;
  Exact exact(blank);
  Look look(exact);
  fill_checksums(exact.data.get(), look.parsed);
  EXPECT_EQ(to_hex(exact.bytes()), to_hex(right));
}

}  // namespace
}  // namespace shunt::net
