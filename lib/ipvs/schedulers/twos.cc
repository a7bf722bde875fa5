// twos: two servers are drawn by lot, a weight being a number of lots, and the one with the least
// overhead for its weight wins, the first if they are equal (power of two choices, ip_vs_twos.c).
//
// As in Linux the lots are numbered from 0 to the sum of the weights, so that the first usable
// server of the list has one more than its weight.
#include "ipvs/schedulers/least.h"

namespace shunt::ipvs {
namespace {

/// The next random number of this state: SipHash in counter mode, so that who sees to which servers
/// clients go cannot foresee where the next ones will.
uint64_t draw(SchedulerState& state, const Now& now) {
  return net::siphash_of_words<1, 3>(now.keys->lots, state.drawn++, uint64_t{state.epoch});
}

/// The usable server that has lot number `lot`, which is one of theirs.
int32_t owner(const Service& service, const Now& now, uint64_t lot) {
  Pick last;
  for (size_t i = 0; i < service.servers.size(); i++) {
    const Server& server = service.servers[i];
    if (!now.loads.is_usable(server)) continue;
    last.index = static_cast<int32_t>(i);
    const auto weight = static_cast<uint32_t>(server.weight);
    if (lot <= weight) break;
    lot -= weight;
  }
  return last.index;  // another worker may have marked a server as overloaded since the count
}

Pick pick(const Service& service, SchedulerState& state, const Flow&, const Now& now) {
  uint64_t total = 0;
  for (const Server& server : service.servers)
    if (now.loads.is_usable(server)) total += static_cast<uint32_t>(server.weight);
  if (total == 0) return {};
  const int32_t one = owner(service, now, draw(state, now) % (total + 1));
  const int32_t two = owner(service, now, draw(state, now) % (total + 1));
  if (one == Pick::kNoPick || two == Pick::kNoPick) return {one == Pick::kNoPick ? two : one};
  const Server& first = service.servers[one];
  const Server& second = service.servers[two];
  return {is_less(overhead(now, second), second.weight, overhead(now, first), first.weight) ? two
                                                                                            : one};
}

}  // namespace

constinit const Scheduler kTwoChoices = {"twos", build_no_table, pick};

}  // namespace shunt::ipvs
