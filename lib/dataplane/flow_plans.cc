#include "dataplane/flow_plans.h"

namespace shunt::dataplane {

uint32_t FlowPlans::hint_of(const FlowPlan& plan, const FlowPlanNote& note) {
  uint64_t x = (uint64_t{note.hop_in} << 32 | note.hop_out) ^
               uint64_t { note.server_id } * 0x9e3779b97f4a7c15 ^
               uint64_t { plan.to[1].port.raw() } << 16 ^ plan.lifetime;
  return static_cast<uint32_t>(x * 0xff51afd7ed558ccd >> 52) % kHints;
}

void FlowPlans::begin_epoch(uint64_t tick) {
  for (uint32_t i = 1; i <= x_most_used; i++)
    if (x_plans[i].epoch == x_epoch) x_uses[i].ended_at = tick;
  x_epoch++;
}

uint16_t FlowPlans::take(FlowPlan wanted, const FlowPlanNote& note) {
  wanted.epoch = x_epoch;
  uint16_t& hint = x_hints[hint_of(wanted, note)];
  if (hint != 0 && wanted == x_plans[hint] && note == x_notes[hint]) {
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
  x_plans[number] = wanted;
  x_notes[number] = note;
  x_uses[number] = {0, 1};
  hint = number;
  return number;
}

void FlowPlans::give(uint16_t number) {
  if (--x_uses[number].flows != 0) return;
  x_plans[number] = {};
  x_freed[x_freed_count++] = number;
}

}  // namespace shunt::dataplane
