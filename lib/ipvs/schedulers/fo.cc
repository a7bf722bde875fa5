// fo: the usable server of the greatest weight takes everything (weighted fail over, ip_vs_fo.c);
// of equals the first of the list.
#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  Pick greatest;
  for (size_t i = 0; i < service.servers.size(); i++) {
    const Server& server = service.servers[i];
    if (greatest.index != Pick::kNoPick && server.weight <= service.servers[greatest.index].weight)
      continue;
    if (now.loads.is_usable(server)) greatest.index = static_cast<int32_t>(i);
  }
  return greatest;
}

}  // namespace

constinit const Scheduler kFailOver = {"fo", build_no_table, pick};

}  // namespace shunt::ipvs
