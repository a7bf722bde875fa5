// wrr: in rounds of ever lower demands on the weight (ip_vs_wrr.c, 6.1). A round goes through the
// list and takes every usable server that weighs enough; the next one demands less by the greatest
// common divisor of the weights, and after the one that demands 1 the greatest weight counts again.
//
// Every change of a server sends the kernel's cursor back to the head of the list and fits the
// demand to the new weights. The kernel has no other memory than the demand, but that depends on
// every change so far: a service that got its servers one by one begins with its last round. So
// Service::history tells a worker all that it missed; one that missed more than is kept fits its
// demand to the rest.
#include <algorithm>
#include <numeric>

#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

constexpr int32_t kHead = -1;

/// What the first round demands: less than the greatest weight, so that the last round demands 1.
int32_t first_demand(const WeightChange& weights) {
  return weights.greatest - (weights.divisor - 1);
}

/// What a cursor demands once the weights are these.
int32_t fitted(int32_t demand, const WeightChange& weights) {
  if (demand > first_demand(weights) || demand == 0) return first_demand(weights);
  return weights.divisor == 1 ? demand : demand / weights.divisor * weights.divisor + 1;
}

void note(WeightHistory& history, std::span<const int32_t> weights) {
  WeightChange now = {0, 0};
  for (int32_t weight : weights) {
    now.greatest = std::max(now.greatest, weight);
    now.divisor = std::gcd(now.divisor, weight);
  }
  now.divisor = std::max(now.divisor, 1);
  history.changes++;
  if (history.latest.size() == WeightHistory::kKept) history.latest.erase(history.latest.begin());
  history.latest.push_back(now);
  history.demand = fitted(history.demand, now);
}

void catch_up(const WeightHistory& history, SchedulerState& state) {
  const size_t missed = history.changes - state.changes;
  if (missed == 0) return;
  if (state.demand == 0) {
    // It never picked, or when it did all weights were 0, which makes all cursors alike.
    state.demand = history.demand;
  } else {
    const auto& latest = history.latest;
    for (size_t i = latest.size() - std::min(missed, latest.size()); i < latest.size(); i++)
      state.demand = fitted(state.demand, latest[i]);
  }
  state.position = kHead;
  state.changes = history.changes;
}

/// The next usable server after `position` that weighs `demand` or more.
Pick next(const Service& service, const Now& now, int32_t position, int32_t demand) {
  const auto size = static_cast<int32_t>(service.servers.size());
  for (int32_t i = position + 1; i < size; i++)
    if (service.servers[i].weight >= demand && now.loads.is_usable(service.servers[i])) return {i};
  return {};
}

Pick pick(const Service& service, SchedulerState& state, const Flow&, const Now& now) {
  if (service.history.changes == 0) return {};
  catch_up(service.history, state);
  const WeightChange& weights = service.history.latest.back();
  const int32_t first = first_demand(weights);
  if (first == 0) return {};  // all weights are 0

  Pick pick = next(service, now, state.position, state.demand);
  if (pick.index == Pick::kNoPick) {
    int32_t greatest = 0;
    for (const Server& server : service.servers)
      if (now.loads.is_usable(server)) greatest = std::max(greatest, server.weight);
    const bool last_round = state.demand <= weights.divisor;
    if (greatest == 0) {
      // All are overloaded: the kernel ends its search in the middle of the last round if it began
      // there, else at the head.
      if (state.position == kHead || !last_round) state.position = kHead, state.demand = first;
      return {};
    }
    state.demand = last_round ? first : state.demand - weights.divisor;
    // Rounds that demand more than anybody has take nobody. Every demand is a multiple of the
    // divisor and 1, and every weight a multiple: the result is 1 at least.
    if (state.demand > greatest) {
      const int32_t over = state.demand - greatest;
      state.demand -= (over + weights.divisor - 1) / weights.divisor * weights.divisor;
    }
    pick = next(service, now, kHead, state.demand);
  }
  if (pick.index != Pick::kNoPick) state.position = pick.index;
  return pick;
}

}  // namespace

constinit const Scheduler kWeightedRoundRobin = {"wrr", build_no_table, pick, note};

}  // namespace shunt::ipvs
