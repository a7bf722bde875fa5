#include "net/encapsulate.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "net/checksum.h"
#include "net/tunnel_error.h"

namespace shunt::net {
namespace {

using namespace frames;

constexpr Tunnel kGreSum{TunnelType::kGre, true, 0};
constexpr Tunnel kGueSum{TunnelType::kGue, true, 6080};

OuterEnds<V4> ends4() {
  return {parse_address("10.1.0.254")->v4(), parse_address("10.1.0.1")->v4(), be16(58096), 0x77,
          true};
}
OuterEnds<V6> ends6() {
  return {parse_address("2001:db8:1::fe")->v6(), parse_address("2001:db8:1::1")->v6(), be16(58096),
          0x77, true};
}

/// The IP packet that `frame` is in the tunnel, in a buffer of exactly its size.
template <class Outer, class Inner>
Bytes encapsulated(const Bytes& frame, const Tunnel& tunnel, const OuterEnds<Outer>& ends) {
  const size_t overhead = tunnel_overhead(tunnel, Outer::family);
  Exact longer(Bytes(14 + overhead, 0xcc) + Bytes(frame.begin() + 14, frame.end()));
  const uint32_t sum = checksum_add(frame.data() + 14, frame.size() - 14);
  encapsulate<Outer, Inner>(longer.data.get(), frame.size() - 14, sum, tunnel, ends);
  Bytes out = longer.bytes();
  EXPECT_EQ(get16(out.data(), 12), Outer::kEtherType);
  EXPECT_EQ(to_hex(out.data() + 14 + overhead, frame.size() - 14),
            to_hex(frame.data() + 14, frame.size() - 14))
      << "what is inside stays as it is";
  return Bytes(out.begin() + 14, out.end());
}

// Recorded from Linux 6.1.176.
TEST(Encapsulate, AsTheKernelDoes) {
  const Bytes inner = from_hex(
      "0200000000010200000000fe0800"
      "45100028123440003f06c351cb007103c63364030fa00050000003e8000000005002ffff35d00000");
  EXPECT_EQ(to_hex(encapsulated<V4, V4>(inner, {}, ends4())),
            "4510003c000040003f0426ae0a0100fe0a010001" + to_hex(inner).substr(28));
  const Bytes loose = from_hex(
      "0200000000010200000000fe0800"
      "4500002dabcd00003f0669c3cb007103c63364030fa00050000003e9000000085018fffff1d9000068656c6c6f");
  OuterEnds<V4> ends = ends4();
  ends.id = 0xb790;
  EXPECT_EQ(to_hex(encapsulated<V4, V4>(loose, {}, ends)),
            "45000041b79000003f04af280a0100fe0a010001" + to_hex(loose).substr(28));
}

// Recorded likewise: ECN's "congestion experienced" becomes ECT(0) outside.
TEST(Encapsulate, CongestionIsToldInsideAlone) {
  for (uint8_t tos = 0; tos < 8; tos++) {
    const uint8_t outside = tos == 3 ? 2 : tos == 7 ? 6 : tos;
    Bytes inner = flow("203.0.113.1", "198.51.100.1", kUdp, 4000, 80, Bytes(8, 0)).frame();
    inner[15] = tos;
    EXPECT_EQ((encapsulated<V4, V4>(inner, {}, ends4())[1]), outside);
    EXPECT_EQ((encapsulated<V6, V4>(inner, {}, ends6())[1]), outside << 4);
    inner = flow("2001:db8::1", "2001:db8::2", kUdp, 4000, 80, Bytes(8, 0)).frame();
    inner[15] = static_cast<uint8_t>(tos << 4);
    EXPECT_EQ((encapsulated<V4, V6>(inner, {}, ends4())[1]), outside);
    EXPECT_EQ((encapsulated<V6, V6>(inner, {}, ends6())[1]), outside << 4);
  }
}

TEST(Encapsulate, ChecksumsCoverWhatFollows) {
  for (size_t size : {0, 1, 100}) {
    const Bytes inner =
        flow("203.0.113.1", "198.51.100.1", kUdp, 4000, 80, Bytes(size, 0xa5)).frame();
    Bytes gre = encapsulated<V4, V4>(inner, kGreSum, ends4());
    EXPECT_EQ(to_hex(gre.data() + 20, 4), "80000800");
    EXPECT_EQ(reference_checksum(gre.data() + 20, gre.size() - 20), 0);
    for (bool six : {false, true}) {
      Bytes gue = six ? encapsulated<V6, V4>(inner, kGueSum, ends6())
                      : encapsulated<V4, V4>(inner, kGueSum, ends4());
      const size_t at = six ? 40 : 20;
      EXPECT_EQ(to_hex(gue.data() + at, 4), "e2f017c0");
      EXPECT_EQ(get16(gue.data(), at + 4), gue.size() - at);
      EXPECT_EQ(to_hex(gue.data() + at + 8, 4), "00040000");
      EXPECT_EQ(transport_checksum(address_bytes(six ? "2001:db8:1::fe" : "10.1.0.254"),
                                   address_bytes(six ? "2001:db8:1::1" : "10.1.0.1"), kUdp,
                                   Bytes(gue.begin() + static_cast<long>(at), gue.end())),
                0);
    }
  }
}

TEST(Encapsulate, SixInFourHasNoDontFragment) {
  Bytes inner = flow("2001:db8::1", "2001:db8::2", kTcp, 4000, 80, Bytes(9)).frame();
  inner[14] = 0x6b, inner[15] = 0x85;  // traffic class 0xb8, flow label 0x5....
  Bytes out = encapsulated<V4, V6>(inner, {}, ends4());
  EXPECT_EQ(out[1], 0xb8);
  EXPECT_EQ(get16(out.data(), 4), 0x77);
  EXPECT_EQ(get16(out.data(), 6), 0);
  EXPECT_EQ(out[9], kIpv6InIp);
  EXPECT_EQ(reference_checksum(out.data(), 20), 0);
  out = encapsulated<V6, V6>(inner, {}, ends6());
  EXPECT_EQ(to_hex(out.data(), 4), "6b800000") << "the class is copied, the label is not";
}

TEST(Encapsulate, DontFragmentIsCopiedUnlessForbidden) {
  Packet packet = flow("203.0.113.1", "198.51.100.1", kTcp, 4000, 80, Bytes(9));
  packet.fragment = Ipv4Header::kDontFragment;
  OuterEnds<V4> ends = ends4();
  Bytes out = encapsulated<V4, V4>(packet.frame(), {}, ends);
  EXPECT_EQ(to_hex(out.data() + 4, 4), "00004000");
  ends.may_copy_df = false;
  out = encapsulated<V4, V4>(packet.frame(), {}, ends);
  EXPECT_EQ(to_hex(out.data() + 4, 4), "00770000");
}

/// An ICMP error about `packet`, an IP packet, of which `quoted` bytes are in it.
Bytes error_about(const Bytes& packet, size_t quoted, uint8_t type = 3) {
  Packet outer = flow("10.1.0.9", "10.1.0.254", kIcmp, 0, 0);
  outer.payload = icmp(type, 1, Bytes(packet.begin(), packet.begin() + static_cast<long>(quoted)));
  return outer.frame();
}

TEST(TunnelError, FindsTheRequest) {
  const Bytes inner = flow("203.0.113.1", "198.51.100.1", kTcp, 4000, 80, Bytes(9)).frame();
  for (const Tunnel& tunnel : {Tunnel{}, Tunnel{TunnelType::kGre, false, 0}, kGreSum, kGueSum}) {
    const Bytes packet = encapsulated<V4, V4>(inner, tunnel, ends4());
    const size_t request = tunnel_overhead(tunnel, Family::kV4);
    for (size_t quoted = 0; quoted <= packet.size(); quoted++) {
      Exact frame(error_about(packet, quoted));
      Look look(frame);
      auto error = parse_tunnel_error(frame.data.get(), look.parsed);
      ASSERT_EQ(error.has_value(), quoted >= request + 24) << quoted;
      if (!error) continue;
      EXPECT_EQ(error->type, tunnel.type);
      EXPECT_EQ(error->port, tunnel.port);
      EXPECT_EQ(to_string(error->near_end), "10.1.0.254");
      EXPECT_EQ(to_string(error->far_end), "10.1.0.1");
      EXPECT_EQ(error->request, 14 + 20 + 8 + request);
      EXPECT_EQ(to_string(error->tuple.source), "203.0.113.1");
      EXPECT_EQ(error->tuple.source_port.host(), 4000);
      EXPECT_EQ(error->tuple.destination_port.host(), 80);
    }
    Exact other(error_about(packet, packet.size(), 12));
    Look look(other);
    EXPECT_FALSE(parse_tunnel_error(other.data.get(), look.parsed)) << "parameter problem";
  }
}

TEST(TunnelError, IsNotMadeOfOtherPackets) {
  const Bytes inner = flow("203.0.113.1", "198.51.100.1", kTcp, 4000, 80, Bytes(9)).frame();
  const Bytes plain(inner.begin() + 14, inner.end());
  Bytes key = encapsulated<V4, V4>(inner, kGreSum, ends4());
  key[21] = 1;  // GRE version 1
  Bytes control = encapsulated<V4, V4>(inner, kGueSum, ends4());
  control[28] = 0x20;
  Bytes six = encapsulated<V4, V4>(inner, kGueSum, ends4());
  six[29] = kIpv6InIp;
  for (const Bytes& packet : {plain, key, control, six}) {
    Exact frame(error_about(packet, packet.size()));
    Look look(frame);
    EXPECT_FALSE(parse_tunnel_error(frame.data.get(), look.parsed));
  }
}

}  // namespace
}  // namespace shunt::net
