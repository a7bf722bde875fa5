// sed: the server whose active connections, the new one included, are the fewest for its weight
// (shortest expected delay, ip_vs_sed.c). Inactive connections do not count.
#include "ipvs/schedulers/least.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  return least_for_weight(
      service, now, [&now](const Server& server) { return now.loads.of(server.id).active + 1; });
}

}  // namespace

constinit const Scheduler kShortestExpectedDelay = {"sed", build_no_table, pick};

}  // namespace shunt::ipvs
