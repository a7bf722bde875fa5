// Frames to further MAC addresses of a port, those of macvlans on its twin: they go the way that
// frames to the port's own address go, by the same lanes, and those to others' are dropped.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using Tcp = net::TcpHeader;

constexpr MacAddress kVrrp{{0, 0, 0x5e, 0, 1, 0x33}}, kForeign{{0, 0, 0x5e, 0, 1, 0x34}};
const Endpoint kVip = endpoint("198.51.100.1", 80), kServer = endpoint("10.1.0.1", 80),
               kVip6 = endpoint("2001:db8:f::1", 80);
constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n"
    "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -g\n";

Frame to_mac(const MacAddress& mac, Frame frame) {
  std::copy(mac.bytes.begin(), mac.bytes.end(), frame.begin());
  return frame;
}
Endpoint client(uint16_t port) {
  return endpoint("203.0.113.7", port);
}

/// With one worker, and with three, of which two get the flows by mailbox.
class FurtherMacs : public testing::TestWithParam<unsigned> {
 protected:
  FurtherMacs() : x_rig(settings()) { x_rig.rules(kRules); }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    settings.any_mac = false;
    return settings;
  }
  void take(const std::vector<MacAddress>& macs) {
    std::shared_ptr<share::FurtherMacs> further;
    if (!macs.empty()) further = std::make_shared<share::FurtherMacs>();
    for (const MacAddress& mac : macs) EXPECT_TRUE(further->add(0, mac));
    ASSERT_TRUE(x_rig.board->quiescence.can_publish());
    x_rig.board->further_macs.publish(further, x_rig.board->quiescence);
  }
  /// Begins flows of IPv4 and IPv6 and has them established, all frames to `mac`.
  void establish(const MacAddress& mac) {
    for (int i = 0; i < 12; i++) {
      for (uint16_t port = 4000; port < 4008; port++) {
        const uint8_t flags = i == 0 ? Tcp::kSyn : Tcp::kAck;
        x_rig.send(to_mac(mac, tcp_frame(client(port), kVip, flags)));
        x_rig.send(to_mac(mac, tcp_frame(endpoint("2001:db8:cafe::7", port), kVip6, flags)));
      }
      x_rig.run();
      for (uint16_t port = 4000; port < 4008; port++)
        x_rig.send(tcp_frame(kServer, client(port), i == 0 ? Tcp::kSyn | Tcp::kAck : Tcp::kAck));
      x_rig.run();
      EXPECT_EQ(x_rig.out().size(), 24u);
    }
  }

  Rig x_rig;
};

TEST_P(FurtherMacs, AreOursWhileThePortHasThem) {
  const Frame syn = to_mac(kVrrp, tcp_frame(client(5000), kVip, Tcp::kSyn));
  EXPECT_TRUE(x_rig.pass(syn).empty());
  EXPECT_EQ(x_rig.dropped(DropReason::kForeignMac), 1u);
  take({kVrrp});
  const auto out = x_rig.pass(syn);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_TRUE(std::equal(kApplianceMac.bytes.begin(), kApplianceMac.bytes.end(), &out[0][6]))
      << "what is forwarded bears the port's own MAC";
  EXPECT_TRUE(x_rig.pass(to_mac(kForeign, tcp_frame(client(5001), kVip, Tcp::kSyn))).empty());
  EXPECT_EQ(x_rig.dropped(DropReason::kForeignMac), 2u);
  take({});
  EXPECT_TRUE(x_rig.pass(syn).empty());
  EXPECT_EQ(x_rig.dropped(DropReason::kForeignMac), 3u);
  x_rig.expect_balanced_accounts();
}

TEST_P(FurtherMacs, WhatIsNotBalancedGoesToLinuxAsItCame) {
  take({kVrrp});
  const Frame ssh = to_mac(kVrrp, tcp_frame(client(5000), {kVip.address, 22}, Tcp::kSyn));
  EXPECT_TRUE(x_rig.pass(ssh).empty());
  EXPECT_EQ(x_rig.to_kernel(), std::vector<Frame>{ssh});
}

// The stages write what they find beside a packet, the lanes do not: who took it?
TEST_P(FurtherMacs, TheLanesTakeThemWhereAllOfABurstAreOurs) {
  if (GetParam() != 1) GTEST_SKIP() << "who gives packets to another worker writes, too";
  take({kVrrp});
  establish(kVrrp);
  const auto taken_by_lanes = [&](const std::vector<Frame>& frames) {
    constexpr uint8_t kUntouched = 0xa5;
    for (const Frame& frame : frames) {
      rte_mbuf* packet = x_rig.packet(frame);
      std::memset(reinterpret_cast<uint8_t*>(packet + 1), kUntouched, dataplane::kMetaSize);
      EXPECT_EQ(rte_ring_enqueue(x_rig.nic.in[0], packet), 0);
    }
    x_rig.run();
    unsigned untouched = 0;
    void* item;
    while (rte_ring_dequeue(x_rig.nic.out[0], &item) == 0) {
      auto* packet = static_cast<rte_mbuf*>(item);
      const auto* meta = reinterpret_cast<const uint8_t*>(packet + 1);
      untouched +=
          std::count(meta, meta + dataplane::kMetaSize, kUntouched) == dataplane::kMetaSize;
      rte_pktmbuf_free(packet);
    }
    return untouched;
  };
  const Frame ack = tcp_frame(client(4000), kVip, Tcp::kAck), further = to_mac(kVrrp, ack);
  const Frame further6 =
      to_mac(kVrrp, tcp_frame(endpoint("2001:db8:cafe::7", 4000), kVip6, Tcp::kAck));
  const Frame broadcast = to_mac(MacAddress{{255, 255, 255, 255, 255, 255}}, ack);
  const Frame foreign = to_mac(kForeign, ack);
  EXPECT_EQ(taken_by_lanes({ack, ack, ack}), 3u);
  EXPECT_EQ(taken_by_lanes({further, ack, further, further6}), 4u);
  EXPECT_EQ(taken_by_lanes({further6, broadcast, further, ack}), 3u);
  EXPECT_EQ(taken_by_lanes({ack, foreign, further}), 1u) << "the stages take the last";
  take({});
  EXPECT_EQ(taken_by_lanes({ack, further}), 1u) << "which is foreign again";
  EXPECT_EQ(x_rig.dropped(DropReason::kForeignMac), 2u);
}

TEST_P(FurtherMacs, AForeignFrameAmongThemIsDroppedAlone) {
  take({kVrrp});
  establish(kVrrp);
  std::vector<Frame> wanted;
  for (int i = 0; i < 20; i++) {
    const auto port = static_cast<uint16_t>(4000 + i % 8);
    const MacAddress& mac = i % 2 ? kVrrp : kApplianceMac;
    x_rig.send(to_mac(mac, tcp_frame(client(port), kVip, Tcp::kAck, std::to_string(i))));
    if (i % 5 == 0) x_rig.send(to_mac(kForeign, tcp_frame(client(port), kVip, Tcp::kAck)));
  }
  x_rig.run();
  EXPECT_EQ(x_rig.out().size(), 20u);
  EXPECT_EQ(x_rig.dropped(DropReason::kForeignMac), 4u);
  x_rig.expect_balanced_accounts();
}

// A FIN behind which the lanes may not take its flow's later packets: it is to a further address,
// and with a foreign frame in the burst it is the stages' although it is plain.
TEST_P(FurtherMacs, PacketsOfAFlowStayInOrderWhateverTheirAddress) {
  take({kVrrp});
  establish(kVrrp);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 12; i++) {
      const MacAddress& mac = i % 3 == 0 ? kVrrp : kApplianceMac;
      x_rig.send(to_mac(mac, tcp_frame(client(4003), kVip, Tcp::kAck, std::string(1, 'a' + i))));
    }
    x_rig.send(to_mac(kForeign, tcp_frame(client(4003), kVip, Tcp::kAck)));
    x_rig.run();
    std::string order;
    for (const Frame& frame : x_rig.out()) order += static_cast<char>(frame[54]);
    EXPECT_EQ(order, "abcdefghijkl");
  }
}

TEST_P(FurtherMacs, AreBounded) {
  share::FurtherMacs macs;
  for (unsigned i = 0; i < share::kMaxFurtherMacs; i++) {
    const auto last = static_cast<uint8_t>(i * 37);
    EXPECT_TRUE(macs.add(1, MacAddress{{2, 0, 0, 0, static_cast<uint8_t>(i), last}}));
    EXPECT_FALSE(macs.add(1, MacAddress{{2, 0, 0, 0, static_cast<uint8_t>(i), last}}));
  }
  EXPECT_FALSE(macs.add(1, kVrrp));
  EXPECT_TRUE(macs.add(0, kVrrp));
  EXPECT_TRUE(macs.has(0, share::FurtherMacs::word_of(kVrrp.bytes.data())));
  EXPECT_FALSE(macs.has(1, share::FurtherMacs::word_of(kVrrp.bytes.data())));
}

INSTANTIATE_TEST_SUITE_P(Workers, FurtherMacs, testing::Values(1u, 3u));

}  // namespace
}  // namespace shunt::test
