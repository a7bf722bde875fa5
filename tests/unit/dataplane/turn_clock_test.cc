#include "dataplane/turn_clock.h"

#include <gtest/gtest.h>
#include <time.h>

namespace shunt::dataplane {
namespace {

uint64_t monotonic() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

TEST(TurnClock, IsReadBeforeEachTurnThatMayBeIdle) {
  TurnClock clock;
  for (int i = 0; i < 100; i++) {
    const uint64_t before = monotonic(), told = clock(false);
    EXPECT_GE(told, before);
    EXPECT_LE(told, monotonic());
  }
}

TEST(TurnClock, OfBusyTurnsEightAreToldTheSame) {
  TurnClock clock;
  uint64_t last = clock(false);
  for (int round = 0; round < 10; round++) {
    for (int i = 1; i < 8; i++) ASSERT_EQ(clock(true), last);
    const uint64_t before = monotonic(), told = clock(true);
    ASSERT_GE(told, before);
    last = told;
  }
}

TEST(TurnClock, IdlenessBringsItUpToDate) {
  TurnClock clock;
  clock(false);
  clock(true);
  const uint64_t before = monotonic();
  const uint64_t told = clock(false);
  EXPECT_GE(told, before);
  for (int i = 1; i < 8; i++) EXPECT_EQ(clock(true), told);
}

}  // namespace
}  // namespace shunt::dataplane
