// The MSS clamp: which handshakes of which services it touches, and to what size.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;
constexpr size_t kMss4 = 14 + 20 + 20 + 2, kMss6 = kMss4 + 20;

/// A TCP packet with the option MSS 1460 behind `before` no-operations, and as many as fill up.
Frame handshake(const Endpoint& from, const Endpoint& to, uint8_t flags, unsigned before = 0) {
  TcpHeader tcp{};
  tcp.source_port = be16(from.port);
  tcp.destination_port = be16(to.port);
  tcp.flags = flags;
  std::string options(before, 1);
  options += std::string("\x02\x04\x05\xb4", 4);
  while (options.size() % 4) options += '\x01';
  tcp.data_offset = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
  return ip_frame(from.address, to.address, net::kTcp,
                  segment(tcp, options, from.address, to.address, net::kTcp));
}

bool is_sound(const Frame& frame, size_t l4) {
  const bool is_v4 = frame[12] == 8;
  const uint8_t* end = frame.data() + l4;
  Frame transport(frame.begin() + static_cast<long>(l4), frame.end());
  Address from, to;
  if (is_v4) {
    from = Ipv4{{end[-8], end[-7], end[-6], end[-5]}};
    to = Ipv4{{end[-4], end[-3], end[-2], end[-1]}};
  } else {
    Ipv6 a, b;
    std::copy(end - 32, end - 16, a.bytes.begin());
    std::copy(end - 16, end, b.bytes.begin());
    from = a;
    to = b;
  }
  return transport_checksum(from, to, net::kTcp, transport) == 0;
}

class Mss : public testing::Test {
 protected:
  Mss() : x_rig(settings()) {}
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.mtu = 1400;
    return settings;
  }
  void clamp(const char* text) {
    auto rule = ipvs::parse_mss_clamp(text);
    ASSERT_TRUE(rule) << rule.error().message;
    ASSERT_TRUE(x_rig.board->mss_clamps.add(*rule));
  }
  /// The MSS that leaves, `at` bytes into the one frame that does.
  int mss(const Frame& frame, size_t at = kMss4) {
    auto out = x_rig.pass(frame);
    if (out.size() != 1) return -1;
    return out[0][at] << 8 | out[0][at + 1];
  }
  uint64_t clamped() {
    return x_rig.sum([](const auto& c) { return c.clamped.get(); });
  }

  Rig x_rig;
  const Endpoint kClient = endpoint("203.0.113.7", 4000), kVip = endpoint("198.51.100.1", 80),
                 kServer = endpoint("10.1.0.1", 8080);
  const Endpoint kClient6 = endpoint("2001:db8:cafe::7", 4000),
                 kVip6 = endpoint("2001:db8:f::1", 80), kServer6 = endpoint("2001:db8:1::1", 80);
};

TEST_F(Mss, BothHandshakesOfAMasqueradedServiceAndNothingElse) {
  clamp("tcp 198.51.100.1:80 1200");
  x_rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -t 198.51.100.1:81 -s rr\n-a -t 198.51.100.1:81 -r 10.1.0.1:8081 -m\n");
  for (unsigned before : {0u, 1u}) {
    auto out = x_rig.pass(handshake(kClient, kVip, kSyn, before));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0][kMss4 + before] << 8 | out[0][kMss4 + before + 1], 1200);
    EXPECT_TRUE(is_sound(out[0], 34));
    out = x_rig.pass(handshake(kServer, kClient, kSyn | kAck, before));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0][kMss4 + before] << 8 | out[0][kMss4 + before + 1], 1200);
    EXPECT_TRUE(is_sound(out[0], 34));
  }
  EXPECT_EQ(clamped(), 4u);
  EXPECT_EQ(mss(handshake(kClient, kVip, kAck)), 1460) << "no handshake";
  EXPECT_EQ(mss(handshake(kClient, endpoint("198.51.100.1", 81), kSyn)), 1460) << "another service";
  EXPECT_EQ(clamped(), 4u);
  EXPECT_EQ(x_rig.pass(tcp_frame(endpoint("203.0.113.7", 4001), kVip, kSyn)),
            x_rig.pass(tcp_frame(endpoint("203.0.113.7", 4001), kVip, kSyn)));
  EXPECT_EQ(clamped(), 4u) << "without the option";
  x_rig.expect_balanced_accounts();
}

TEST_F(Mss, AServerThatComesLaterHasItsServicesClamp) {
  clamp("tcp 198.51.100.1:80 1200");
  x_rig.rules("-A -t 198.51.100.1:80 -s rr\n");
  x_rig.rules("-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  EXPECT_EQ(mss(handshake(kClient, kVip, kSyn)), 1200);
  x_rig.rules(
      "-D -t 198.51.100.1:80\n-A -t 198.51.100.1:81 -s rr\n"
      "-a -t 198.51.100.1:81 -r 10.1.0.1:81 -g\n");
  EXPECT_EQ(mss(handshake(kClient, endpoint("198.51.100.1", 81), kSyn)), 1460);
}

TEST_F(Mss, AutoIsWhatTheWayHasRoomFor) {
  clamp("tcp 198.51.100.1:80 auto");
  clamp("tcp [2001:db8:f::1]:80 auto");
  x_rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -m\n");
  EXPECT_EQ(mss(handshake(kClient, kVip, kSyn)), 1400 - 40);
  EXPECT_EQ(mss(handshake(kServer, kClient, kSyn | kAck)), 1400 - 40);
  EXPECT_EQ(mss(handshake(kClient6, kVip6, kSyn), kMss6), 1400 - 60);
  EXPECT_EQ(mss(handshake(kServer6, kClient6, kSyn | kAck), kMss6), 1400 - 60);
}

TEST_F(Mss, AutoLeavesRoomForATunnelsHeaders) {
  clamp("tcp 198.51.100.1:80 auto");
  clamp("tcp [2001:db8:f::1]:80 auto");
  struct Kind {
    const char* options;
    int shim;
  };
  Endpoint from = kClient, from6 = kClient6;
  for (auto [options, shim] :
       {Kind{"", 0}, Kind{"--tun-type gre", 4}, Kind{"--tun-type gre --tun-csum", 8},
        Kind{"--tun-type gue --tun-port 6080", 12}})
    for (const char* far : {"10.1.0.3", "[2001:db8:1::3]"}) {
      const int outer = far[0] == '[' ? 40 : 20;
      const std::string tail = std::string(far) + ":80 -i " + options + "\n";
      from.port++;
      from6.port++;
      x_rig.rules("-C\n-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r " + tail +
                  "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r " + tail);
      EXPECT_EQ(mss(handshake(from, kVip, kSyn), kMss4 + static_cast<size_t>(outer + shim)),
                1400 - outer - shim - 40)
          << tail;
      EXPECT_EQ(mss(handshake(from6, kVip6, kSyn), kMss6 + static_cast<size_t>(outer + shim)),
                1400 - outer - shim - 60)
          << tail;
    }
}

TEST_F(Mss, AMarkServicesClampIsBothFamilies) {
  clamp("fwmark 9 1000");
  auto rule = ipvs::parse_mark_rule("9 ports 80");
  ASSERT_TRUE(rule);
  x_rig.board->marks.add(*rule, ipvs::MarkTable::kAnyPort);
  x_rig.rules(
      "-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -g\n"
      "-A -f 9 -6 -s rr\n-a -f 9 -6 -r [2001:db8:1::1]:0 -g\n");
  EXPECT_EQ(mss(handshake(kClient, kVip, kSyn)), 1000);
  EXPECT_EQ(mss(handshake(kClient6, kVip6, kSyn), kMss6), 1000);
}

}  // namespace
}  // namespace shunt::test
