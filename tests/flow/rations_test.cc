// Side tables that are full, or of which a network has its share: what happens to those that find
// no room, that it is counted, that other networks find room, and that it passes.
#include "../unit/eal_environment.h"
#include "dataplane/ration.h"
#include "rig.h"

namespace shunt::test {
namespace {

using dataplane::CallIds;
using dataplane::Helped;
using dataplane::Ration;
using ipvs::DropReason;
using Tcp = net::TcpHeader;

constexpr dataplane::Nanoseconds kMinutes = 60'000'000'000;
constexpr uint32_t kPorts = 60000;  ///< of one client that are used

/// Client `i` of the network NETWORK.0/24: a port, and after kPorts another address.
Endpoint client(const std::string& network, uint32_t i) {
  return endpoint(network + "." + std::to_string(1 + i / kPorts),
                  static_cast<uint16_t>(2000 + i % kPorts));
}

/// Passes frames in bursts; how many frames left.
template <class Make>
size_t pass_all(Rig& rig, uint32_t first, uint32_t count, Make make) {
  size_t out = 0;
  for (uint32_t i = 0; i < count; i++) {
    rig.send(make(first + i));
    if (i % 256 != 255 && i + 1 != count) continue;
    rig.run();
    out += rig.out().size();
  }
  return out;
}

TEST(Rations, ControlConnectionsOfFtp) {
  constexpr uint32_t kHalf = Helped::kMost / Ration::kHalf, kShare = Helped::kMost / Ration::kShare;
  Rig::Settings settings;
  settings.sessions = kHalf + kShare + 1000;
  Rig rig(settings);
  rig.rules("-A -t 198.51.100.1:21 -s rr\n-a -t 198.51.100.1:21 -r 10.1.0.1:21 -m\n");
  const auto begin = [](const char* network) {
    return [network](uint32_t i) {
      return tcp_frame(client(network, i), endpoint("198.51.100.1", 21), Tcp::kSyn);
    };
  };
  const auto unhelped = [&] { return rig.sum([](const auto& c) { return c.unhelped.get(); }); };
  EXPECT_EQ(pass_all(rig, 0, kHalf, begin("203.0.113")), kHalf);
  EXPECT_EQ(unhelped(), 0u);
  EXPECT_EQ(pass_all(rig, kHalf, 100, begin("203.0.113")), 100u) << "forwarded all the same";
  EXPECT_EQ(unhelped(), 100u);
  EXPECT_EQ(pass_all(rig, 0, kShare, begin("192.0.2")), kShare);
  EXPECT_EQ(unhelped(), 100u) << "another network has its share";
  EXPECT_EQ(pass_all(rig, kShare, 10, begin("192.0.2")), 10u);
  EXPECT_EQ(unhelped(), 110u);
  rig.now += 5 * kMinutes;
  for (int i = 0; rig.sessions() != 0 && i < 10000; i++) rig.run();
  EXPECT_EQ(rig.sessions(), 0u);
  EXPECT_EQ(pass_all(rig, 0, 100, begin("203.0.113")), 100u);
  EXPECT_EQ(unhelped(), 110u) << "they are helped again";
  rig.expect_balanced_accounts();
}

TEST(Rations, CallIds) {
  constexpr uint32_t kHalf = CallIds::kMost / Ration::kHalf;
  Rig::Settings settings;
  settings.sessions = kHalf + 1000;
  Rig rig(settings);
  rig.rules(
      "-A -u 198.51.100.1:5060 -s rr -p 60 --pe sip -o\n"
      "-a -u 198.51.100.1:5060 -r 10.1.0.1:5060 -m\n");
  const auto call = [](const char* network) {
    return [network](uint32_t i) {
      return udp_frame(client(network, 0), endpoint("198.51.100.1", 5060),
                       "INVITE sip:b@example.org SIP/2.0\r\nCall-ID: " + std::to_string(i) +
                           "\r\nCSeq: 1\r\n\r\n");
    };
  };
  EXPECT_EQ(pass_all(rig, 0, kHalf, call("203.0.113")), kHalf);
  EXPECT_EQ(pass_all(rig, kHalf, 100, call("203.0.113")), 0u);
  EXPECT_EQ(rig.dropped(DropReason::kCallIdsFull), 100u);
  EXPECT_EQ(pass_all(rig, 0, 100, call("203.0.113")), 100u) << "calls that are known go on";
  EXPECT_EQ(pass_all(rig, 0, 100, call("192.0.2")), 100u) << "another network has its share";
  EXPECT_EQ(rig.dropped(DropReason::kCallIdsFull), 100u);
  rig.now += 5 * kMinutes;
  for (int i = 0; rig.sessions() != 0 && i < 10000; i++) rig.run();
  EXPECT_EQ(rig.sessions(), 0u);
  EXPECT_EQ(pass_all(rig, kHalf, 100, call("203.0.113")), 100u);
  EXPECT_EQ(rig.dropped(DropReason::kCallIdsFull), 100u);
  EXPECT_EQ(rig.dropped(DropReason::kTableFull), 0u);
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
