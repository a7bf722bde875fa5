// lc: the server with the least overhead, whatever its weight (ip_vs_lc.c).
#include "ipvs/schedulers/least.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  Pick least;
  uint64_t least_overhead = 0;
  for (size_t i = 0; i < service.servers.size(); i++) {
    if (!now.loads.is_usable(service.servers[i])) continue;
    const uint64_t own = overhead(now, service.servers[i]);
    if (least.index != Pick::kNoPick && own >= least_overhead) continue;
    least.index = static_cast<int32_t>(i);
    least_overhead = own;
  }
  return least;
}

}  // namespace

constinit const Scheduler kLeastConnection = {"lc", build_no_table, pick};

}  // namespace shunt::ipvs
