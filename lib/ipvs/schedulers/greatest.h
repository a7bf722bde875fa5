// The usable server of the greatest weight, the first of equals: what fo and ovf share.
#pragma once

#include "ipvs/scheduler.h"

namespace shunt::ipvs {

/// Among those that `has_room(server)` holds for.
template <class HasRoom>
Pick greatest_weight(const Service& service, const Now& now, HasRoom has_room) {
  Pick greatest;
  for (size_t i = 0; i < service.servers.size(); i++) {
    const Server& server = service.servers[i];
    if (greatest.index != Pick::kNoPick && server.weight <= service.servers[greatest.index].weight)
      continue;
    if (now.loads.is_usable(server) && has_room(server)) greatest.index = static_cast<int32_t>(i);
  }
  return greatest;
}

}  // namespace shunt::ipvs
