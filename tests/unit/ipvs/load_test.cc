// Thresholds: when a server is overloaded, and when it is no more (ip_vs_bind_dest,
// ip_vs_unbind_dest, __ip_vs_update_dest of Linux 6.1).
#include "ipvs/load.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace shunt::ipvs {
namespace {

/// One server, id 0, and the sessions that two workers have with it.
class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    for (auto& row : x_rows) EXPECT_TRUE(x_loads.add_worker(&row));
  }
  bool begin(int worker = 0) {
    x_rows[worker].sessions.add(1);
    x_loads.begun(0);
    return x_loads.is_overloaded(0);
  }
  bool end(int worker = 0) {
    x_rows[worker].sessions.subtract(1);
    x_loads.ended(0);
    return x_loads.is_overloaded(0);
  }
  bool set(uint32_t upper, uint32_t lower) {
    x_limits.set(upper, lower);
    return x_loads.is_overloaded(0);
  }

  ServerLimits x_limits;
  ServerLoad x_rows[2];
  Loads x_loads{&x_limits};
};

TEST_F(LoadTest, NoThresholdIsNoLimit) {
  for (int i = 0; i < 1000; i++) EXPECT_FALSE(begin());
}

TEST_F(LoadTest, AnUpperOneAloneLetsGoBelowThreeQuarters) {
  set(4, 0);
  for (bool over : {false, false, false, true, true}) EXPECT_EQ(begin(), over);
  for (bool over : {true, true, false}) EXPECT_EQ(end(), over) << "4, 3, 2 are left";
  EXPECT_FALSE(begin());
  EXPECT_TRUE(begin());
}

TEST_F(LoadTest, ALowerOneLetsGoBelowIt) {
  set(4, 2);
  for (bool over : {false, false, false, true}) EXPECT_EQ(begin(), over);
  for (bool over : {true, true, false}) EXPECT_EQ(end(), over) << "3, 2, 1 are left";
}

// Seen with Linux 6.1.176: -p and -x 2 take two clients, whose templates are no sessions.
TEST_F(LoadTest, TemplatesDoNotCount) {
  set(2, 0);
  x_rows[0].persistent.add(1);
  EXPECT_FALSE(begin()) << "the template";
  EXPECT_FALSE(begin());
  EXPECT_TRUE(begin());
}

TEST_F(LoadTest, EveryWorkersSessionsCount) {
  set(3, 0);
  EXPECT_FALSE(begin(0));
  EXPECT_FALSE(begin(1));
  EXPECT_TRUE(begin(0));
  EXPECT_FALSE(end(1));
}

TEST_F(LoadTest, AnEditLetsGoIfThereIsMoreRoomThanBefore) {
  set(2, 0);
  begin();
  EXPECT_TRUE(begin());
  EXPECT_TRUE(set(2, 0));
  EXPECT_TRUE(set(1, 0));
  EXPECT_TRUE(set(1, 1));
  EXPECT_FALSE(set(2, 1)) << "though two are there";
  EXPECT_TRUE(begin());
  EXPECT_FALSE(set(0, 0));
  EXPECT_FALSE(set(1, 0)) << "only the next session tells";
  EXPECT_TRUE(begin());
}

// Sessions of two workers come and go at once; when all are gone the server has room again.
TEST_F(LoadTest, TheLastToGoLiftsTheMark) {
  set(1, 0);
  std::atomic<int> ready{0};
  constexpr int kRounds = 20000;
  auto work = [&](int worker) {
    for (int i = 0; i < kRounds; i++) {
      ready++;
      while (ready < 2 * (2 * i + 1)) std::this_thread::yield();
      begin(worker);
      end(worker);
      if (worker == 0) {
        while (ready < 2 * (2 * i + 1) + 1) std::this_thread::yield();
        EXPECT_FALSE(x_loads.is_overloaded(0)) << "round " << i;
      }
      ready++;
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
}

}  // namespace
}  // namespace shunt::ipvs
