// wlc: the server with the least overhead for its weight (ip_vs_wlc.c); the default of ipvsadm.
#include "ipvs/schedulers/least.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  return least_for_weight(service, now,
                          [&now](const Server& server) { return overhead(now, server); });
}

}  // namespace

constinit const Scheduler kWeightedLeastConnection = {"wlc", build_no_table, pick};

}  // namespace shunt::ipvs
