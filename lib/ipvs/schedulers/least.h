// What the schedulers that compare servers by their sessions have in common: the search for the
// least loaded one, and Linux's measure of load.
//
// Sums over the workers are read at the moment of the pick. Called by the schedulers of this
// directory only.
#pragma once

#include <cstdint>

#include "ipvs/scheduler.h"

namespace shunt::ipvs {

/// Linux counts an active connection for 256 inactive ones (ip_vs_dest_conn_overhead, ip_vs.h).
/// Persistence templates do not count.
inline uint64_t overhead(const Now& now, const Server& server) {
  const Loads::Sum sum = now.loads.of(server.id);
  return sum.active * 256 + sum.inactive;
}

/// Is a/weight_a less than b/weight_b? Weights are above 0. A cost below 2^40 times a weight below
/// 2^31 does not fit into 64 bits.
inline bool is_less(uint64_t a, int32_t weight_a, uint64_t b, int32_t weight_b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<Wide>(a) * static_cast<uint32_t>(weight_b) <
         static_cast<Wide>(b) * static_cast<uint32_t>(weight_a);
}

/// The usable server with the least cost(server) for its weight; of equals the first of the list.
template <class Cost>
Pick least_for_weight(const Service& service, const Now& now, Cost cost) {
  Pick least;
  uint64_t least_cost = 0;
  for (size_t i = 0; i < service.servers.size(); i++) {
    const Server& server = service.servers[i];
    if (!now.loads.is_usable(server)) continue;
    const uint64_t own = cost(server);
    if (least.index != Pick::kNoPick &&
        !is_less(own, server.weight, least_cost, service.servers[least.index].weight))
      continue;
    least.index = static_cast<int32_t>(i);
    least_cost = own;
  }
  return least;
}

}  // namespace shunt::ipvs
