// How much one turn takes: bursts one after the other while the lanes take all, and little more
// than one of packets that need the stages.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using net::TcpHeader;

const Endpoint kVip = endpoint("198.51.100.1", 80), kClient = endpoint("203.0.113.7", 40000);
constexpr unsigned kBurst = dataplane::kBurst, kMostBursts = 2;

class Bursts : public testing::TestWithParam<const char*> {
 protected:
  Bursts() {
    x_rig.rules(std::string("-A -t 198.51.100.1:80 -s rr\n") +
                "-a -t 198.51.100.1:80 -r 10.1.0.1:80 " + GetParam() + "\n");
    // Until the lanes know the flow.
    for (unsigned i = 0; i < 12; i++) {
      send(0, i == 0 ? TcpHeader::kSyn : TcpHeader::kAck);
      x_rig.run();
    }
    x_rig.out();
  }
  void send(unsigned client, uint8_t flags = TcpHeader::kAck, uint8_t tos = 0) {
    Frame frame =
        tcp_frame(endpoint("203.0.113.7", static_cast<uint16_t>(40000 + client)), kVip, flags);
    frame[15] = tos;
    net::Ipv4Header ip;
    std::memcpy(&ip, &frame[14], sizeof ip);
    ip.checksum = {};
    net::checksum_store(ip.checksum, net::checksum_finish(net::checksum_add(&ip, sizeof ip)));
    std::memcpy(&frame[14], &ip, sizeof ip);
    x_rig.send(frame);
  }
  /// How many packets one turn takes.
  uint64_t taken() {
    const auto received = [&] { return x_rig.sum([](const auto& c) { return c.received.get(); }); };
    const uint64_t before = received();
    x_rig.workers[0]->turn(x_rig.now);
    return received() - before;
  }

  Rig x_rig{Rig::Settings{}};
};

TEST_P(Bursts, OfPacketsThatLanesTakeAreTwoATurn) {
  for (unsigned i = 0; i < kMostBursts * kBurst + 30; i++) send(0);
  EXPECT_EQ(taken(), kMostBursts * kBurst);
  EXPECT_EQ(x_rig.out().size(), kMostBursts * kBurst) << "all are sent when the turn ends";
  EXPECT_EQ(taken(), 30u);
  EXPECT_EQ(x_rig.out().size(), 30u);
}

TEST_P(Bursts, EndWhenTheStagesHaveEnoughToDo) {
  for (unsigned i = 0; i < 4 * kBurst; i++) send(1 + i, TcpHeader::kSyn);
  for (unsigned turn = 0; turn < 4; turn++) EXPECT_EQ(taken(), kBurst);
  // Half a burst of new sessions is not enough, one more is.
  for (unsigned i = 0; i < 4 * kBurst; i++) i % 2 ? send(0) : send(400 + i, TcpHeader::kSyn);
  EXPECT_EQ(taken(), 2 * kBurst);
  EXPECT_EQ(taken(), 2 * kBurst);
  x_rig.run();
  EXPECT_EQ(x_rig.sessions(), 1 + 4 * kBurst + 2 * kBurst);
}

// Full bursts go to the port as they are, others wait for company: neither overtakes.
TEST_P(Bursts, LeaveInOrder) {
  std::vector<uint8_t> wanted, came;
  for (unsigned i = 0; i < kMostBursts * kBurst; i++) {
    // Every second burst has a packet that is Linux's.
    if (i % (2 * kBurst) == 5) {
      x_rig.send(tcp_frame(kClient, endpoint("198.51.100.9", 80), TcpHeader::kSyn));
      continue;
    }
    const auto number = static_cast<uint8_t>(i / 2);
    send(0, TcpHeader::kAck, number);
    wanted.push_back(number);
  }
  EXPECT_EQ(taken(), kMostBursts * kBurst);
  const unsigned outer = GetParam() == std::string("-i") ? sizeof(net::Ipv4Header) : 0;
  for (const Frame& frame : x_rig.out()) came.push_back(frame[outer + 15]);
  EXPECT_EQ(came, wanted);
  EXPECT_EQ(x_rig.to_kernel().size(), kMostBursts / 2);
  x_rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Methods, Bursts, testing::Values("-g", "-m", "-i"));

}  // namespace
}  // namespace shunt::test
