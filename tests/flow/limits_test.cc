// Thresholds over the sessions of all workers together: -x and -y of one server.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;

const Endpoint kVip = endpoint("198.51.100.1", 53);

class Limits : public testing::TestWithParam<unsigned> {
 protected:
  Limits() : x_rig(settings()) { x_rig.rules("--set 900 120 100\n-A -u 198.51.100.1:53 -s rr\n"); }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    return settings;
  }
  /// Does a datagram of this client port reach the server?
  bool passes(uint16_t port) {
    x_rig.send(udp_frame(endpoint("203.0.113.7", port), kVip, "q"), port % GetParam());
    x_rig.run();
    auto out = x_rig.out();
    EXPECT_EQ(out.size(), 1u) << "forwarded, or an ICMP error";
    return out.size() == 1 && out[0][23] == net::kUdp;
  }
  /// How many of these client ports get a session.
  int let_in(uint16_t from, uint16_t to) {
    int in = 0;
    for (uint16_t port = from; port < to; port++) in += passes(port);
    return in;
  }
  void wait(uint64_t seconds) {
    x_rig.now += seconds * 1'000'000'000;
    x_rig.run();
  }

  Rig x_rig;
};

TEST_P(Limits, HoldOverAllWorkers) {
  x_rig.rules("-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m -x 8\n");
  EXPECT_EQ(let_in(1000, 1040), 8);
  EXPECT_EQ(x_rig.sessions(), 8u);
  EXPECT_EQ(x_rig.dropped(DropReason::kNoServer), 32u);
  if (GetParam() > 1) {
    for (auto& desk : x_rig.board->desks) EXPECT_GT(desk->counters.sessions_v4.get(), 0u);
  }
  EXPECT_TRUE(passes(1000)) << "who has a session keeps it";
  wait(50);
  for (uint16_t port = 1000; port < 1006; port++) EXPECT_TRUE(passes(port));
  wait(60);  // 1006 and 1007 are over: six are left, not below three quarters of eight
  EXPECT_EQ(x_rig.sessions(), 6u);
  EXPECT_FALSE(passes(2000));
  for (uint16_t port = 1000; port < 1005; port++) EXPECT_TRUE(passes(port));
  wait(60);
  EXPECT_EQ(let_in(2000, 2040), 3) << "five are left";
  x_rig.expect_balanced_accounts();
}

TEST_P(Limits, ALowerOneSaysWhenThereIsRoomAgain) {
  x_rig.rules("-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m -x 4 -y 1\n");
  EXPECT_EQ(let_in(1000, 1010), 4);
  wait(50);
  EXPECT_TRUE(passes(1000));
  wait(60);
  EXPECT_EQ(x_rig.sessions(), 1u);
  EXPECT_FALSE(passes(2000));
  wait(60);
  EXPECT_EQ(let_in(2000, 2010), 4);
}

// Recorded from Linux 6.1.176 IPVS.
TEST_P(Limits, ARemovedServerThatIsAddedAgainIsAsFullAsBefore) {
  x_rig.rules("-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m -x 1\n");
  EXPECT_EQ(let_in(1000, 1003), 1);
  x_rig.rules("-d -u 198.51.100.1:53 -r 10.1.0.1:53\n");
  x_rig.rules("-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m -x 1\n");
  EXPECT_FALSE(passes(1010));
  x_rig.rules("-d -u 198.51.100.1:53 -r 10.1.0.1:53\n");
  x_rig.rules("-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m -x 2\n");
  EXPECT_EQ(let_in(1020, 1030), 1);
  x_rig.rules("-e -u 198.51.100.1:53 -r 10.1.0.1:53 -m\n");
  EXPECT_EQ(let_in(1030, 1040), 10) << "no limit";
}

INSTANTIATE_TEST_SUITE_P(Workers, Limits, testing::Values(1u, 2u));

}  // namespace
}  // namespace shunt::test
