// nq: the first server of the list without active connections; if there is none, sed's choice
// (never queue, ip_vs_nq.c).
#include "ipvs/schedulers/least.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  // An idle server costs nothing here, and nothing is less than that: the first one stays.
  return least_for_weight(service, now, [&now](const Server& server) -> uint64_t {
    const uint64_t active = now.loads.of(server.id).active;
    return active == 0 ? 0 : active + 1;
  });
}

}  // namespace

constinit const Scheduler kNeverQueue = {"nq", build_no_table, pick};

}  // namespace shunt::ipvs
