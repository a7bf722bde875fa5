#include "net/parse.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace shunt::net {
namespace {

using namespace frames;

constexpr const char* kClient = "203.0.113.1";
constexpr const char* kVirtual = "198.51.100.1";
constexpr const char* kRouter = "192.0.2.254";
constexpr const char* kClient6 = "2001:db8:cafe::1";
constexpr const char* kVirtual6 = "2001:db8:f::1";
constexpr const char* kRouter6 = "2001:db8:c::fe";

Bytes cut(Bytes frame, size_t size) {
  frame.resize(size);
  return frame;
}

/// `frame` with one byte replaced; an IPv4 header checksum is made right again.
Bytes with(Bytes frame, size_t at, uint8_t byte) {
  frame[at] = byte;
  if (get16(&frame[0], 12) == kEtherTypeIpv4) repair_ipv4(frame);
  return frame;
}

Packet v4(uint8_t protocol, const Bytes& payload) {
  return {kClient, kVirtual, protocol, payload};
}
Packet v6(uint8_t protocol, const Bytes& payload) {
  return {kClient6, kVirtual6, protocol, payload};
}

/// A fragment of a datagram: `offset` in bytes.
Packet fragment4(uint8_t protocol, const Bytes& payload, uint16_t offset, bool more) {
  Packet packet = v4(protocol, payload);
  packet.fragment = static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0));
  return packet;
}

/// IPv6 extension headers of a type; each names what follows it.
Bytes options(uint8_t next, uint8_t length = 0) {
  Bytes header(8 + length * 8u);
  header[0] = next, header[1] = length;
  return header;
}
Bytes authentication(uint8_t next, uint8_t length = 4) {
  Bytes header((length + 2u) * 4);
  header[0] = next, header[1] = length;
  return header;
}
Bytes fragment(uint8_t next, uint16_t offset, bool more) {
  Bytes header{next, 0, 0, 0, 0xca, 0xfe, 0xba, 0xbe};
  put16(header, 2, static_cast<uint16_t>(offset | more));
  return header;
}

enum : uint8_t { kHop = 0, kRoute = 43, kFrag = 44, kEsp = 50, kAuth = 51, kNone = 59, kDest = 60 };

struct Case {
  int number;
  const char* what;
  Bytes frame;
  Kind kind;
  Bad bad = Bad::kNone;
  const char* tuple = nullptr;
};

void expect(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(std::to_string(c.number) + " " + c.what);
    Look look(c.frame);
    EXPECT_EQ(look.parsed.kind, c.kind);
    EXPECT_EQ(look.parsed.bad, c.bad);
    if (c.tuple) {
      EXPECT_EQ(look.text(), c.tuple);
    }
  }
}

TEST(Parse, Version4) {
  const Bytes syn = flow(kClient, kVirtual, kTcp, 4000, 80).frame();
  const Bytes query = flow(kClient, kVirtual, kUdp, 5000, 53, {1}).frame();
  Packet longest = v4(kTcp, tcp(4000, 80));
  longest.options = Bytes(40, 1);
  Packet options8 = v4(kUdp, udp(5000, 53));
  options8.options = Bytes(8, 1);
  const Bytes tcp20 = tcp(1, 2);
  expect({
      {1, "TCP", syn, Kind::kFlow, Bad::kNone, "6 203.0.113.1:4000 > 198.51.100.1:80"},
      {2, "UDP", query, Kind::kFlow, Bad::kNone, "17 203.0.113.1:5000 > 198.51.100.1:53"},
      {3, "Ethernet padding", syn + Bytes(6), Kind::kFlow, Bad::kNone,
       "6 203.0.113.1:4000 > 198.51.100.1:80"},
      {4, "40 bytes of options", longest.frame(), Kind::kFlow, Bad::kNone,
       "6 203.0.113.1:4000 > 198.51.100.1:80"},
      {5, "8 bytes of options, UDP", options8.frame(), Kind::kFlow, Bad::kNone,
       "17 203.0.113.1:5000 > 198.51.100.1:53"},
      {6, "TCP data offset 4", with(syn, 46, 0x40), Kind::kFlow},
      {7, "TCP data offset 15", with(syn, 46, 0xf0), Kind::kFlow},
      {8, "UDP length beyond the packet", with(query, 39, 200), Kind::kFlow},
      {9, "empty frame", {}, Kind::kBad, Bad::kShortFrame},
      {10, "13 bytes", cut(syn, 13), Kind::kBad, Bad::kShortFrame},
      {11, "Ethernet header alone", cut(syn, 14), Kind::kBad, Bad::kShortIp},
      {12, "19 bytes of IP", cut(syn, 33), Kind::kBad, Bad::kShortIp},
      {13, "version 6", with(syn, 14, 0x65), Kind::kBad, Bad::kShortIp},
      {14, "header length 4", with(syn, 14, 0x44), Kind::kBad, Bad::kIpLength},
      {15, "header length 0", with(syn, 14, 0x40), Kind::kBad, Bad::kIpLength},
      {16, "options beyond the frame", cut(longest.frame(), 14 + 56), Kind::kBad, Bad::kShortIp},
      {17, "total length below the header's", with(syn, 17, 19), Kind::kBad, Bad::kIpLength},
      {18, "total length 0", with(syn, 17, 0), Kind::kBad, Bad::kIpLength},
      {19, "total length beyond the frame", with(syn, 17, 41), Kind::kBad, Bad::kIpLength},
      {20, "one byte lost", cut(syn, syn.size() - 1), Kind::kBad, Bad::kIpLength},
      {21, "TCP of 19 bytes", v4(kTcp, cut(tcp20, 19)).frame(), Kind::kBad, Bad::kShortTransport},
      {22, "TCP of 19 bytes, padded", v4(kTcp, cut(tcp20, 19)).frame() + Bytes(20), Kind::kBad,
       Bad::kShortTransport},
      {23, "TCP of 0 bytes", v4(kTcp, {}).frame(), Kind::kBad, Bad::kShortTransport},
      {24, "UDP of 7 bytes", v4(kUdp, Bytes(7)).frame(), Kind::kBad, Bad::kShortTransport},
      {25, "UDP of 8 bytes", v4(kUdp, Bytes(8)).frame(), Kind::kFlow},
      {26, "DCCP", v4(33, Bytes(20)).frame(), Kind::kOther},
      {27, "GRE", v4(47, Bytes(20)).frame(), Kind::kOther},
      {28, "ESP", v4(kEsp, Bytes(20)).frame(), Kind::kIpsec, Bad::kNone,
       "17 203.0.113.1:500 > 198.51.100.1:500"},
      {29, "AH", v4(kAuth, authentication(kTcp) + tcp20).frame(), Kind::kIpsec, Bad::kNone,
       "17 203.0.113.1:500 > 198.51.100.1:500"},
      {30, "IPv6's ICMP", v4(kIcmpv6, icmp(1, 0, Bytes(60))).frame(), Kind::kOther},
      {31, "protocol 0", v4(0, Bytes(8)).frame(), Kind::kOther},
      {32, "nothing behind the header", v4(47, {}).frame(), Kind::kOther},
  });
  Bytes wrong = syn;
  wrong[25] ^= 1;
  EXPECT_EQ(Look(wrong).parsed.bad, Bad::kIpChecksum);
  wrong = longest.frame();
  wrong[14 + 59] ^= 1;  // in the options
  EXPECT_EQ(Look(wrong).parsed.bad, Bad::kIpChecksum);
}

TEST(Parse, OtherEtherTypes) {
  Bytes frame = flow(kClient, kVirtual, kTcp, 4000, 80).frame();
  for (uint16_t type : {0x0806, 0x8100, 0x88a8, 0x0026, 0x8847, 0x0801}) {
    put16(frame, 12, type);
    Parsed parsed = Look(frame).parsed;
    EXPECT_EQ(parsed.kind, Kind::kOther) << type;
    EXPECT_EQ(parsed.ether_type, type);
  }
  EXPECT_EQ(Look(cut(frame, 14)).parsed.kind, Kind::kOther);
}

TEST(Parse, Offsets) {
  Packet packet = flow(kClient, kVirtual, kTcp, 4000, 80, Bytes(5));
  packet.options = Bytes(12, 1);
  packet.payload[13] = TcpHeader::kSyn | TcpHeader::kAck;
  Parsed parsed = Look(packet.frame() + Bytes(3)).parsed;
  EXPECT_EQ(parsed.family, Family::kV4);
  EXPECT_EQ(parsed.protocol, kTcp);
  EXPECT_EQ(parsed.ether_type, kEtherTypeIpv4);
  EXPECT_EQ(parsed.l3_offset, 14);
  EXPECT_EQ(parsed.l4_offset, 14 + 32);
  EXPECT_EQ(parsed.ip_end, 14 + 32 + 25);
  EXPECT_EQ(parsed.tcp_flags, TcpHeader::kSyn | TcpHeader::kAck);

  parsed = Look(v6(kHop, options(kDest, 1) + options(kUdp) + udp(1, 2, Bytes(3))).frame()).parsed;
  EXPECT_EQ(parsed.family, Family::kV6);
  EXPECT_EQ(parsed.protocol, kUdp);
  EXPECT_EQ(parsed.l4_offset, 14 + 40 + 8 + 16);
  EXPECT_EQ(parsed.ip_end, parsed.l4_offset + 11);
}

TEST(Parse, LongestFrame) {
  Packet packet = v4(kUdp, udp(1, 2, Bytes(65535 - 14 - 28)));
  Bytes frame = packet.frame();
  ASSERT_EQ(frame.size(), 65535u);
  Parsed parsed = Look(frame).parsed;
  EXPECT_EQ(parsed.kind, Kind::kFlow);
  EXPECT_EQ(parsed.ip_end, 65535);
}

TEST(Parse, Version6) {
  const Bytes syn = flow(kClient6, kVirtual6, kTcp, 4000, 80).frame();
  const Bytes segment = tcp(4000, 80);
  const char* tuple = "6 [2001:db8:cafe::1]:4000 > [2001:db8:f::1]:80";
  Bytes chain;  // of kMaxExtensions
  for (int i = 1; i < kMaxExtensions; i++) chain = chain + options(kDest);
  Bytes chain_end = options(kTcp) + segment;
  Bytes endless;
  for (int i = 0; i < 30; i++) endless = endless + options(kDest);
  expect({
      {1, "TCP", syn, Kind::kFlow, Bad::kNone, tuple},
      {2, "UDP", flow(kClient6, kVirtual6, kUdp, 5000, 53).frame(), Kind::kFlow, Bad::kNone,
       "17 [2001:db8:cafe::1]:5000 > [2001:db8:f::1]:53"},
      {3, "padding", syn + Bytes(6), Kind::kFlow, Bad::kNone, tuple},
      {4, "hop-by-hop", v6(kHop, options(kTcp) + segment).frame(), Kind::kFlow, Bad::kNone, tuple},
      {5, "routing", v6(kRoute, options(kTcp, 2) + segment).frame(), Kind::kFlow, Bad::kNone,
       tuple},
      {6, "destination options", v6(kDest, options(kTcp, 1) + segment).frame(), Kind::kFlow,
       Bad::kNone, tuple},
      {7, "authentication", v6(kAuth, authentication(kTcp) + segment).frame(), Kind::kFlow,
       Bad::kNone, tuple},
      {8, "four different ones",
       v6(kHop,
          options(kRoute) + options(kAuth) + authentication(kDest, 2) + options(kTcp, 3) + segment)
           .frame(),
       Kind::kFlow, Bad::kNone, tuple},
      {9, "as many as are looked through", v6(kDest, chain + chain_end).frame(), Kind::kFlow,
       Bad::kNone, tuple},
      {10, "one more", v6(kDest, chain + options(kDest) + chain_end).frame(), Kind::kBad,
       Bad::kExtensions},
      {11, "without end", v6(kDest, endless).frame(), Kind::kBad, Bad::kExtensions},
      {12, "extension of 7 bytes", v6(kDest, cut(options(kTcp), 7)).frame(), Kind::kBad,
       Bad::kExtensions},
      {13, "extension of 7 bytes, padded", v6(kDest, cut(options(kTcp), 7)).frame() + Bytes(9),
       Kind::kBad, Bad::kExtensions},
      {14, "extension longer than the packet", v6(kDest, cut(options(kTcp, 5), 40)).frame(),
       Kind::kBad, Bad::kExtensions},
      {15, "authentication longer than the packet",
       v6(kAuth, cut(authentication(kTcp), 20)).frame(), Kind::kBad, Bad::kExtensions},
      {16, "no next header", v6(kNone, Bytes(4)).frame(), Kind::kOther},
      {17, "no next header, behind another", v6(kDest, options(kNone)).frame(), Kind::kOther},
      {18, "ESP", v6(kEsp, Bytes(20)).frame(), Kind::kIpsec, Bad::kNone,
       "17 [2001:db8:cafe::1]:500 > [2001:db8:f::1]:500"},
      {19, "DCCP", v6(33, Bytes(20)).frame(), Kind::kOther},
      {20, "IPv4's ICMP", v6(kIcmp, icmp(3, 3, Bytes(60))).frame(), Kind::kOther},
      {21, "39 bytes of IP", cut(syn, 14 + 39), Kind::kBad, Bad::kShortIp},
      {22, "version 4", with(syn, 14, 0x45), Kind::kBad, Bad::kShortIp},
      {23, "payload beyond the frame", with(syn, 19, 21), Kind::kBad, Bad::kIpLength},
      {24, "payload of 19 bytes, TCP", with(syn, 19, 19), Kind::kBad, Bad::kShortTransport},
      {25, "payload of 0 bytes, TCP", with(syn, 19, 0), Kind::kBad, Bad::kShortTransport},
      {26, "UDP of 7 bytes", v6(kUdp, Bytes(7)).frame(), Kind::kBad, Bad::kShortTransport},
      {27, "jumbogram", with(v6(kHop, options(kTcp) + segment).frame(), 19, 0), Kind::kBad,
       Bad::kIpLength},
      {28, "a jumbogram's header alone", v6(kHop, {}).frame(), Kind::kBad, Bad::kExtensions},
      {29, "TCP cut short behind an extension", v6(kHop, options(kTcp) + Bytes(19)).frame(),
       Kind::kBad, Bad::kShortTransport},
  });
}

TEST(Parse, Fragments) {
  const Bytes segment = tcp(4000, 80), datagram = udp(5000, 53, Bytes(8));
  const char* tuple4 = "17 203.0.113.1:5000 > 198.51.100.1:53";
  const char* bare4 = "17 203.0.113.1:0 > 198.51.100.1:0";
  const char* tuple6 = "17 [2001:db8:cafe::1]:5000 > [2001:db8:f::1]:53";
  const char* bare6 = "17 [2001:db8:cafe::1]:0 > [2001:db8:f::1]:0";
  struct Fragment {
    int number;
    const char* what;
    Packet packet;
    const char* tuple;
    bool has_ports;
    uint16_t offset;
    bool more;
    uint32_t id;
  };
  const Fragment cases[] = {
      {1, "first", fragment4(kUdp, datagram, 0, true), tuple4, true, 0, true, 0x1234},
      {2, "middle", fragment4(kUdp, datagram, 16, true), bare4, false, 16, true, 0x1234},
      {3, "last", fragment4(kUdp, Bytes(3), 1480, false), bare4, false, 1480, false, 0x1234},
      {4, "greatest offset", fragment4(kUdp, {}, 65528, false), bare4, false, 65528, false, 0x1234},
      {5, "first, TCP", fragment4(kTcp, segment, 0, true), "6 203.0.113.1:4000 > 198.51.100.1:80",
       true, 0, true, 0x1234},
      {6, "tiny first, TCP", fragment4(kTcp, cut(segment, 16), 0, true),
       "6 203.0.113.1:0 > 198.51.100.1:0", false, 0, true, 0x1234},
      {7, "first, ICMP error",
       fragment4(kIcmp, icmp(3, 3, flow(kVirtual, kClient, kTcp, 1, 2).bytes()), 0, true),
       "1 203.0.113.1:0 > 198.51.100.1:0", false, 0, true, 0x1234},
      {8, "first, GRE", fragment4(47, Bytes(24), 0, true), "47 203.0.113.1:0 > 198.51.100.1:0",
       false, 0, true, 0x1234},
      {9, "IPv6 first", v6(kFrag, fragment(kUdp, 0, true) + datagram), tuple6, true, 0, true,
       0xcafebabe},
      {10, "IPv6 last", v6(kFrag, fragment(kUdp, 1232, false) + Bytes(5)), bare6, false, 1232,
       false, 0xcafebabe},
      {11, "IPv6 atomic", v6(kFrag, fragment(kUdp, 0, false) + datagram), tuple6, true, 0, false,
       0xcafebabe},
      {12, "IPv6 first with options in it",
       v6(kHop, options(kFrag) + fragment(kDest, 0, true) + options(kUdp) + datagram), tuple6, true,
       0, true, 0xcafebabe},
      {13, "IPv6 later: what looks like options is data",
       v6(kFrag, fragment(kDest, 8, true) + Bytes(8, 0xff)),
       "60 [2001:db8:cafe::1]:0 > [2001:db8:f::1]:0", false, 8, true, 0xcafebabe},
      {14, "IPv6 later without data", v6(kFrag, fragment(kUdp, 65528, false)), bare6, false, 65528,
       false, 0xcafebabe},
      {15, "IPv6 tiny first", v6(kFrag, fragment(kTcp, 0, true) + cut(segment, 8)),
       "6 [2001:db8:cafe::1]:0 > [2001:db8:f::1]:0", false, 0, true, 0xcafebabe},
  };
  for (const Fragment& c : cases) {
    SCOPED_TRACE(std::to_string(c.number) + " " + c.what);
    Look look(c.packet.frame());
    ASSERT_EQ(look.parsed.kind, Kind::kFragment);
    EXPECT_EQ(look.text(), c.tuple);
    EXPECT_EQ(look.parsed.has_ports, c.has_ports);
    EXPECT_EQ(look.parsed.fragment_offset, c.offset);
    EXPECT_EQ(look.parsed.more_fragments, c.more);
    EXPECT_EQ(look.parsed.fragment_id, c.id);
  }
  expect({
      {16, "fragment header cut short", v6(kFrag, Bytes(7)).frame(), Kind::kBad, Bad::kExtensions},
      {17, "two fragment headers",
       v6(kFrag, fragment(kFrag, 0, false) + fragment(kUdp, 0, false) + datagram).frame(),
       Kind::kBad, Bad::kExtensions},
      {18, "first fragment without all its headers (RFC 7112)",
       v6(kFrag, fragment(kDest, 0, true) + cut(options(kUdp, 4), 8)).frame(), Kind::kBad,
       Bad::kExtensions},
  });
  Packet unfragmented = v4(kUdp, datagram);
  unfragmented.fragment = 0x8000;  // the reserved bit
  EXPECT_EQ(Look(unfragmented.frame()).parsed.kind, Kind::kFlow);
}

TEST(Parse, IcmpErrors4) {
  const Packet about = flow(kVirtual, kClient, kTcp, 80, 4000, Bytes(30));
  const Packet about_udp = flow(kVirtual, kClient, kUdp, 53, 5000, Bytes(30));
  const char* tuple = "6 198.51.100.1:80 > 203.0.113.1:4000";
  Packet with_options = about, first = about, later = about, dccp = about;
  with_options.options = Bytes(8, 1);
  first.fragment = 0x2000;
  later.fragment = 1;
  dccp.protocol = 33;
  auto of = [](uint8_t type, const Packet& what, size_t quoted = 65535) {
    return error(kRouter, kVirtual, type, 1, what, quoted).frame();
  };
  /// The embedded header's first byte replaced.
  auto inner = [&](uint8_t byte, size_t quoted = 65535) {
    return with(of(3, about, quoted), 42, byte);
  };
  expect({
      {1, "unreachable", of(3, about), Kind::kIcmpError, Bad::kNone, tuple},
      {2, "source quench", of(4, about), Kind::kIcmpError, Bad::kNone, tuple},
      {3, "time exceeded", of(11, about), Kind::kIcmpError, Bad::kNone, tuple},
      {4, "28 bytes quoted", of(3, about, 28), Kind::kIcmpError, Bad::kNone, tuple},
      {5, "27 bytes quoted", of(3, about, 27), Kind::kOther},
      {6, "27 bytes quoted, padded", of(3, about, 27) + Bytes(4), Kind::kOther},
      {7, "header alone quoted", of(3, about, 20), Kind::kOther},
      {8, "19 bytes quoted", of(3, about, 19), Kind::kOther},
      {9, "nothing quoted", of(3, about, 0), Kind::kOther},
      {10, "UDP", of(3, about_udp), Kind::kIcmpError, Bad::kNone,
       "17 198.51.100.1:53 > 203.0.113.1:5000"},
      {11, "options in the quoted header", of(3, with_options, 36), Kind::kIcmpError, Bad::kNone,
       tuple},
      {12, "the same, a byte less", of(3, with_options, 35), Kind::kOther},
      {13, "first fragment", of(3, first), Kind::kIcmpError, Bad::kNone, tuple},
      {14, "later fragment, taken for a header", of(3, later), Kind::kIcmpError, Bad::kNone, tuple},
      {15, "DCCP", of(3, dccp), Kind::kOther},
      {16, "about an ICMP packet", of(3, v4(kIcmp, icmp(8, 0, Bytes(20)))), Kind::kOther},
      {17, "redirect", of(5, about), Kind::kOther},
      {18, "parameter problem", of(12, about), Kind::kOther},
      {19, "echo request", of(8, about), Kind::kOther},
      {20, "echo reply", of(0, about), Kind::kOther},
      {21, "type 1 is IPv6's", of(1, about), Kind::kOther},
      {22, "embedded version 6", inner(0x65), Kind::kOther},
      {23, "embedded header length 4", inner(0x44), Kind::kOther},
      {24, "embedded header length 60, not all there", inner(0x4f, 59), Kind::kOther},
      {25, "ICMP of 7 bytes", v4(kIcmp, Bytes(7, 3)).frame(), Kind::kOther},
      {26, "ICMP of 0 bytes", v4(kIcmp, {}).frame(), Kind::kOther},
  });
  Packet outer = error(kRouter, kVirtual, 11, 0, with_options, 36);
  outer.options = Bytes(4, 1);
  Parsed parsed = Look(outer.frame()).parsed;
  EXPECT_EQ(parsed.protocol, kIcmp);
  EXPECT_EQ(parsed.icmp_type, 11);
  EXPECT_EQ(parsed.icmp_code, 0);
  EXPECT_EQ(parsed.inner_protocol, kTcp);
  EXPECT_EQ(parsed.l4_offset, 14 + 24);
  EXPECT_EQ(parsed.inner_l3_offset, 14 + 24 + 8);
  EXPECT_EQ(parsed.inner_l4_offset, 14 + 24 + 8 + 28);
  EXPECT_EQ(parsed.ip_end, parsed.inner_l4_offset + 8);
}

TEST(Parse, IcmpErrors6) {
  const Packet about = flow(kVirtual6, kClient6, kTcp, 80, 4000, Bytes(30));
  const char* tuple = "6 [2001:db8:f::1]:80 > [2001:db8:cafe::1]:4000";
  auto quoted_with = [&](uint8_t type, const Bytes& headers) {
    return Packet{kVirtual6, kClient6, type, headers + about.payload};
  };
  auto of = [](uint8_t type, const Packet& what, size_t quoted = 65535) {
    return error(kRouter6, kVirtual6, type, 0, what, quoted).frame();
  };
  expect({
      {1, "unreachable", of(1, about), Kind::kIcmpError, Bad::kNone, tuple},
      {2, "too big", of(2, about), Kind::kIcmpError, Bad::kNone, tuple},
      {3, "time exceeded", of(3, about), Kind::kIcmpError, Bad::kNone, tuple},
      {4, "parameter problem", of(4, about), Kind::kIcmpError, Bad::kNone, tuple},
      {5, "echo request", of(128, about), Kind::kOther},
      {6, "redirect", of(137, about), Kind::kOther},
      {7, "neighbour solicitation", of(135, about), Kind::kOther},
      {8, "48 bytes quoted", of(1, about, 48), Kind::kIcmpError, Bad::kNone, tuple},
      {9, "47 bytes quoted", of(1, about, 47), Kind::kOther},
      {10, "39 bytes quoted", of(1, about, 39), Kind::kOther},
      {11, "nothing quoted", of(1, about, 0), Kind::kOther},
      {12, "UDP", of(1, flow(kVirtual6, kClient6, kUdp, 53, 5000)), Kind::kIcmpError, Bad::kNone,
       "17 [2001:db8:f::1]:53 > [2001:db8:cafe::1]:5000"},
      {13, "extension quoted", of(1, quoted_with(kHop, options(kTcp)), 56), Kind::kIcmpError,
       Bad::kNone, tuple},
      {14, "the same, a byte less", of(1, quoted_with(kHop, options(kTcp)), 55), Kind::kOther},
      {15, "extension quoted in part", of(1, quoted_with(kDest, options(kTcp, 9)), 60),
       Kind::kOther},
      {16, "first fragment quoted", of(1, quoted_with(kFrag, fragment(kTcp, 0, true))),
       Kind::kIcmpError, Bad::kNone, tuple},
      {17, "later fragment quoted", of(1, quoted_with(kFrag, fragment(kTcp, 8, true))),
       Kind::kOther},
      {18, "DCCP quoted", of(1, v6(33, Bytes(20))), Kind::kOther},
      {19, "embedded version 4", with(of(1, about), 62, 0x45), Kind::kOther},
      {20, "behind an extension header",
       v6(kDest, options(kIcmpv6) + icmp(1, 4, about.bytes())).frame(), Kind::kIcmpError,
       Bad::kNone, tuple},
      {21, "fragmented itself",
       v6(kFrag, fragment(kIcmpv6, 0, true) + icmp(1, 4, about.bytes())).frame(), Kind::kFragment,
       Bad::kNone, "58 [2001:db8:cafe::1]:0 > [2001:db8:f::1]:0"},
      {22, "ICMP of 7 bytes", v6(kIcmpv6, Bytes(7, 1)).frame(), Kind::kOther},
  });
}

// Every packet cut at every length, in a buffer of exactly that size, once as it is and once with
// its length fields saying so: no byte beyond is read (a sanitizer sees it), nothing found lies
// beyond.
TEST(Parse, CutAnywhere) {
  Packet options12 = flow(kClient, kVirtual, kTcp, 4000, 80, Bytes(9));
  options12.options = Bytes(12, 1);
  const Packet packets[] = {
      options12,
      flow(kClient, kVirtual, kUdp, 5000, 53, Bytes(9)),
      fragment4(kTcp, tcp(1, 2), 0, true),
      error(kRouter, kVirtual, 3, 4, options12),
      flow(kClient6, kVirtual6, kTcp, 4000, 80),
      flow(kClient, kVirtual, kSctp, 4000, 80, chunk(10, Bytes(5)) + chunk(6)),
      v6(kHop, options(kRoute) + options(kAuth) + authentication(kDest, 2) + options(kUdp, 1) +
                   udp(1, 2, Bytes(4))),
      v6(kFrag, fragment(kDest, 0, true) + options(kUdp) + udp(1, 2)),
      error(kRouter6, kVirtual6, 1, 4,
            v6(kHop, options(kFrag) + fragment(kTcp, 0, true) + tcp(1, 2))),
  };
  for (size_t i = 0; i < std::size(packets); i++) {
    const Bytes whole = packets[i].frame();
    EXPECT_NE(Look(whole).parsed.kind, Kind::kBad);
    EXPECT_NE(Look(whole).parsed.kind, Kind::kOther);
    for (size_t size = 0; size < whole.size(); size++) {
      SCOPED_TRACE(std::to_string(i) + " cut to " + std::to_string(size));
      const Bytes as_it_is = cut(whole, size);
      EXPECT_EQ(Look(as_it_is).parsed.kind, Kind::kBad);

      Bytes told = as_it_is;
      if (packets[i].is_v4() && size >= 14 + 20u + packets[i].options.size()) {
        put16(told, 16, static_cast<uint16_t>(size - 14));
        repair_ipv4(told);
      } else if (!packets[i].is_v4() && size >= 54) {
        put16(told, 18, static_cast<uint16_t>(size - 54));
      }
      const Parsed parsed = Look(told).parsed;
      EXPECT_NE(parsed.bad, Bad::kIpChecksum);
      if (parsed.kind == Kind::kBad) continue;
      EXPECT_EQ(parsed.ip_end, size);
      EXPECT_LE(parsed.l4_offset, size);
      if (parsed.kind == Kind::kFlow) {
        EXPECT_LE(parsed.l4_offset + 8u, size);
      }
      if (parsed.kind == Kind::kIcmpError) {
        EXPECT_LE(parsed.inner_l4_offset + 8u, size);
      }
    }
  }
}

}  // namespace
}  // namespace shunt::net
