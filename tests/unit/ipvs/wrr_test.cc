// wrr beyond what the recorded sequences show: overloaded servers, huge weights, many workers.
#include <gtest/gtest.h>

#include <array>
#include <climits>
#include <cmath>
#include <map>
#include <random>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

Service with_weights(std::initializer_list<int32_t> weights) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = &kWeightedRoundRobin;
  begin(service);
  uint32_t n = 0;
  for (int32_t weight : weights) {
    n++;
    add(service, server_at(n, "10.1.0." + std::to_string(n), 80, weight));
  }
  return service;
}

uint32_t pick(const Service& service, SchedulerState& state, const Now& now) {
  return picked(service, kWeightedRoundRobin.pick(service, state, {}, now));
}

TEST(WeightedRoundRobin, GoesOnWhereItWasOnceSomebodyIsUsableAgain) {
  Service service = with_weights({3, 2, 1});
  TestLoads loads;
  const Now now = loads.now();
  SchedulerState state;
  for (uint32_t expected : {3, 2, 1, 1}) EXPECT_EQ(pick(service, state, now), expected);
  for (uint32_t id : {1, 2, 3}) loads.limits(id).overloaded = 1;
  for (int i = 0; i < 5; i++) EXPECT_EQ(pick(service, state, now), 0u);
  for (uint32_t id : {1, 2, 3}) loads.limits(id).overloaded = 0;
  // A search in vain ended at the head with the first demand.
  for (uint32_t expected : {1, 2, 1, 3, 2, 1}) EXPECT_EQ(pick(service, state, now), expected);
}

TEST(WeightedRoundRobin, LeavesOverloadedServersOut) {
  Service service = with_weights({3, 2, 1});
  TestLoads loads;
  const Now now = loads.now();
  loads.limits(1).overloaded = 1;
  SchedulerState state;
  std::map<uint32_t, int> count;
  for (int i = 0; i < 300; i++) count[pick(service, state, now)]++;
  EXPECT_EQ(count[1], 0);
  EXPECT_EQ(count[2], 200);
  EXPECT_EQ(count[3], 100);
}

TEST(WeightedRoundRobin, SkipsRoundsThatDemandTooMuchAtOnce) {
  Service service = with_weights({INT32_MAX, 1});
  TestLoads loads;
  const Now now = loads.now();
  loads.limits(1).overloaded = 1;
  SchedulerState state;
  for (int i = 0; i < 1000; i++) ASSERT_EQ(pick(service, state, now), 2u);
}

TEST(WeightedRoundRobin, BeginsAsACursorThatSawEveryChange) {
  // By the rules of ip_vs_wrr_dest_changed: weights 3, then 3 2, then 3 2 1 leave a demand of 1.
  Service service = with_weights({3, 2, 1});
  EXPECT_EQ(service.history.demand, 1);
  EXPECT_EQ(service.history.changes, 4u);
  set_weight(service, 1, 0), set_weight(service, 2, 0), set_weight(service, 3, 0);
  EXPECT_EQ(service.history.demand, 0);
  set_weight(service, 2, 6);
  EXPECT_EQ(service.history.demand, 1);  // 6 - (6 - 1)
  SchedulerState fresh;
  EXPECT_EQ(pick(service, fresh, idle()), 2u);
  EXPECT_EQ(fresh.demand, 1);
}

TEST(WeightedRoundRobin, CatchesUpWithManyChangesAtOnce) {
  Service service = with_weights({4, 8});
  SchedulerState state;
  for (uint32_t expected : {2, 1, 2}) EXPECT_EQ(pick(service, state, idle()), expected);
  const int32_t before = state.demand;
  EXPECT_EQ(before, 5);
  set_weight(service, 2, 2);  // greatest 4, divisor 2: 5 is too much, 3 is the first demand
  set_weight(service, 2, 9);  // divisor 1: stays
  set_weight(service, 2, 8);  // divisor 4: 3 / 4 * 4 + 1
  EXPECT_EQ(pick(service, state, idle()), 2u);
  EXPECT_EQ(state.demand, 1);
  EXPECT_EQ(pick(service, state, idle()), 1u);
}

TEST(WeightedRoundRobin, ManyWorkersStayWithinARoundEachOfTheExactShare) {
  constexpr unsigned kWorkers = 8;
  const std::map<uint32_t, int> weights = {{1, 5}, {2, 3}, {3, 1}};
  Service service = with_weights({5, 3, 1});
  std::vector<SchedulerState> states(kWorkers);
  std::map<uint32_t, int> count;
  std::mt19937 random(1);
  for (int picks = 1; picks <= 20000; picks++) {
    count[pick(service, states[random() % kWorkers], idle())]++;
    for (auto [id, weight] : weights)
      ASSERT_LE(std::abs(count[id] - picks * weight / 9.0), double(kWorkers) * weight) << picks;
  }
}

TEST(RoundRobin, ManyWorkersStayWithinAPickEachOfTheExactShare) {
  constexpr unsigned kWorkers = 8;
  Service service = with_weights({1, 1, 1, 1, 1});
  std::vector<SchedulerState> states(kWorkers);
  std::map<uint32_t, int> count;
  std::mt19937 random(1);
  for (int picks = 1; picks <= 20000; picks++) {
    SchedulerState& state = states[random() % kWorkers];
    count[picked(service, kRoundRobin.pick(service, state, {}, idle()))]++;
    for (uint32_t id = 1; id <= 5; id++)
      ASSERT_LT(std::abs(count[id] - picks / 5.0), double(kWorkers)) << picks;
  }
}

}  // namespace
}  // namespace shunt::ipvs
