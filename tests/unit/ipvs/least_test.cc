// The schedulers that compare servers by their sessions: Linux's measure, ties, thresholds, and
// many workers at once.
#include "ipvs/schedulers/least.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

Service with_weights(const char* scheduler, std::initializer_list<int32_t> weights) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = find_scheduler(scheduler);
  begin(service);
  uint32_t n = 0;
  for (int32_t weight : weights) {
    n++;
    add(service, server_at(n, "10.1.0." + std::to_string(n), 80, weight));
  }
  EXPECT_TRUE(service.scheduler->build(service, {}));
  return service;
}

uint32_t pick(const Service& service, const TestLoads& loads) {
  SchedulerState state;
  return picked(service, service.scheduler->pick(service, state, {}, loads.now()));
}

/// Recorded from Linux 6.1.176: one active connection weighs as much as 256 inactive ones, no more.
TEST(Least, AnActiveConnectionIs256InactiveOnes) {
  for (const char* name : {"lc", "wlc"}) {
    Service service = with_weights(name, {1, 1});
    TestLoads loads;
    loads[2].active.add(1);
    loads[1].inactive.add(255);
    EXPECT_EQ(pick(service, loads), 1u) << name;
    loads[1].inactive.add(1);
    EXPECT_EQ(pick(service, loads), 2u) << name << ": a tie is of the first of the list";
  }
}

TEST(Least, HugeWeightsAndLoadsAreComparedExactly) {
  Service service = with_weights("wlc", {INT32_MAX, INT32_MAX - 1});
  TestLoads loads;
  loads[1].active.add(100'000'000);
  loads[2].active.add(100'000'000);
  EXPECT_EQ(pick(service, loads), 1u);
}

TEST(Least, OverloadedServersAndThoseOfWeightZeroGetNothing) {
  for (const char* name : {"lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "lblcr"}) {
    Service service = with_weights(name, {1, 5, 0});
    TestLoads loads;
    loads.limits(2).overloaded = 1;
    loads[1].active.add(1);
    EXPECT_EQ(pick(service, loads), 1u) << name;
    loads.limits(1).overloaded = 1;
    EXPECT_EQ(pick(service, loads), 0u) << name;
  }
}

TEST(Least, TwosDrawsByWeightAndTakesTheLessLoaded) {
  // Linux's 600 picks of weights 3 2 1 were 299, 201 and 100; of 5 0 1: 500, 0 and 100.
  for (auto weights : {std::array{3, 2, 1}, std::array{5, 0, 1}}) {
    Service service = with_weights("twos", {weights[0], weights[1], weights[2]});
    TestLoads loads;
    SchedulerState state;
    std::map<uint32_t, int> count;
    for (int i = 0; i < 600; i++) {
      uint32_t id = picked(service, kTwoChoices.pick(service, state, {}, loads.now()));
      count[id]++;
      loads[id].active.add(1);
    }
    const int total = weights[0] + weights[1] + weights[2];
    for (uint32_t id = 1; id <= 3; id++)
      EXPECT_NEAR(count[id], 600.0 * weights[id - 1] / total, 6) << id;
  }
}

TEST(Least, TwosDrawsLotsFromZeroToTheSumWithoutLoad) {
  // Nobody has anything to do, so the first draw wins: the first of the list has a lot more.
  Service service = with_weights("twos", {3, 2, 1});
  SchedulerState state;
  std::map<uint32_t, int> count;
  for (int i = 0; i < 70000; i++)
    count[picked(service, kTwoChoices.pick(service, state, {}, idle()))]++;
  EXPECT_NEAR(count[1], 30000, 700);
  EXPECT_NEAR(count[2], 20000, 700);
  EXPECT_NEAR(count[3], 20000, 700);
}

TEST(Least, TwosFollowsItsKey) {
  Service service = with_weights("twos", {1, 1, 1, 1});
  TestLoads loads;
  auto picks = [&](uint64_t key) {
    SchedulerState state;
    const SchedulerKeys keys = {.lots = {key, 0}, .addresses = {}};
    Now now = {loads.now().loads, loads.knobs, 0, 0, &keys};
    std::vector<uint32_t> all;
    for (int i = 0; i < 64; i++)
      all.push_back(picked(service, kTwoChoices.pick(service, state, {}, now)));
    return all;
  };
  EXPECT_EQ(picks(1), picks(1));
  EXPECT_NE(picks(1), picks(2));
}

/// Rows of several workers, all read by each.
struct Workers {
  explicit Workers(unsigned count) : rows(count) {
    for (auto& row : rows) EXPECT_TRUE(loads.add_worker(row.data()));
  }
  std::vector<ServerLimits> limits{16};
  std::vector<std::array<ServerLoad, 16>> rows;
  Loads loads{limits.data()};
  SharedKnobs knobs;
};

/// Workers that take turns are one worker to the load schedulers: sums are read at each pick.
TEST(Least, WorkersThatTakeTurnsPickAsOne) {
  for (const char* name : {"lc", "wlc", "sed", "nq", "ovf"}) {
    Service service = with_weights(name, {3, 2, 1});
    Workers one(1), four(4);
    SchedulerState state;
    std::vector<SchedulerState> states(4);
    for (uint32_t i = 0; i < 200; i++) {
      const uint32_t w = i * 7 % 4;
      auto alone = picked(
          service, service.scheduler->pick(service, state, {}, {one.loads, one.knobs, i, 0, 0}));
      auto shared = picked(service, service.scheduler->pick(service, states[w], {},
                                                            {four.loads, four.knobs, i, w, 0}));
      ASSERT_EQ(alone, shared) << name << " pick " << i;
      if (alone == 0) break;  // ovf: all are full
      one.rows[0][alone].active.add(1);
      four.rows[w][alone].active.add(1);
    }
  }
}

/// The worst case: all workers pick before any of the sessions is counted.
TEST(Least, WorkersThatPickAtOnceDifferByTheirNumberAtMost) {
  constexpr unsigned kWorkers = 8;
  for (const char* name : {"lc", "wlc", "sed", "nq"}) {
    Service service = with_weights(name, {1, 1, 1, 1, 1});
    Workers workers(kWorkers);
    std::vector<SchedulerState> states(kWorkers);
    for (int round = 0; round < 500; round++) {
      std::array<uint32_t, kWorkers> picks;
      for (unsigned w = 0; w < kWorkers; w++)
        picks[w] =
            picked(service, service.scheduler->pick(service, states[w], {},
                                                    {workers.loads, workers.knobs, 0, w, 0}));
      for (unsigned w = 0; w < kWorkers; w++) workers.rows[w][picks[w]].active.add(1);
      uint64_t least = UINT64_MAX, most = 0;
      for (uint32_t id = 1; id <= 5; id++) {
        least = std::min(least, workers.loads.of(id).active);
        most = std::max(most, workers.loads.of(id).active);
      }
      ASSERT_LE(most - least, kWorkers) << name << " round " << round;
    }
  }
}

}  // namespace
}  // namespace shunt::ipvs
