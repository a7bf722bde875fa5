// ovf: the usable server of the greatest weight among those with no more active connections than
// weight, so that weight + 1 of them fit (weighted overflow, ip_vs_ovf.c); none is left when all
// are full.
#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  Pick greatest;
  for (size_t i = 0; i < service.servers.size(); i++) {
    const Server& server = service.servers[i];
    if (greatest.index != Pick::kNoPick && server.weight <= service.servers[greatest.index].weight)
      continue;
    if (!now.loads.is_usable(server)) continue;
    if (now.loads.of(server.id).active > static_cast<uint32_t>(server.weight)) continue;
    greatest.index = static_cast<int32_t>(i);
  }
  return greatest;
}

}  // namespace

constinit const Scheduler kOverflow = {"ovf", build_no_table, pick};

}  // namespace shunt::ipvs
