#include "dataplane/flow_plans.h"

#include <algorithm>

namespace shunt::dataplane {

uint32_t FlowPlans::hint_of(const FlowPlan& plan, const FlowBasis& basis) {
  uint64_t x = (uint64_t{basis.hop_ids[0]} << 32 | basis.hop_ids[1]) ^
               uint64_t { basis.server_id } * 0x9e3779b97f4a7c15 ^
               uint64_t { plan.ways[0].from_port.raw() } << 16 ^ plan.ways[0].lifetime;
  return static_cast<uint32_t>(x * 0xff51afd7ed558ccd >> 52) % kHints;
}

void FlowPlans::begin_epoch(uint64_t tick) {
  for (uint32_t i = 1; i <= x_most_used; i++)
    if (x_bases[i].epoch == x_epoch) x_uses[i].ended_at = tick;
  x_epoch++;
  doubt();
}

/// Whenever they were last found good, and whatever was noted.
bool FlowPlans::is(uint16_t number, FlowPlan& wanted, const FlowBasis& basis) const {
  for (unsigned i = 0; i < 2; i++) {
    wanted.ways[i].revision = x_plans[number].ways[i].revision;
    wanted.ways[i].open = x_plans[number].ways[i].open;
  }
  return basis == x_bases[number] && wanted == x_plans[number];
}

uint16_t FlowPlans::take(FlowPlan wanted, FlowBasis basis) {
  basis.epoch = x_epoch;
  uint16_t& hint = x_hints[hint_of(wanted, basis)];
  if (hint != 0 && is(hint, wanted, basis)) {
    x_uses[hint].flows++;
    return hint;
  }
  uint16_t number;
  if (x_freed_count != 0)
    number = x_freed[--x_freed_count];
  else if (x_most_used != kPlans - 1)
    number = static_cast<uint16_t>(++x_most_used);
  else
    return 0;
  for (FlowWay& way : wanted.ways) way.revision = way.open = 0;
  x_plans[number] = wanted;
  x_bases[number] = basis;
  x_uses[number] = {0, 1};
  hint = number;
  return number;
}

void FlowPlans::give(uint16_t number) {
  if (--x_uses[number].flows != 0) return;
  for (FlowWay& way : x_plans[number].ways) way.settle();
  x_plans[number] = {};
  x_bases[number] = {};
  x_freed[x_freed_count++] = number;
}

void FlowPlans::settle(unsigned most) {
  for (unsigned n = std::min(most, x_most_used); n > 0; n--) {
    x_settled = x_settled < x_most_used ? x_settled + 1 : 1;
    for (FlowWay& way : x_plans[x_settled].ways) way.settle();
  }
}

}  // namespace shunt::dataplane
