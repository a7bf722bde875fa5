// ovf: the usable server of the greatest weight among those with no more active connections than
// weight, so that weight + 1 of them fit (weighted overflow, ip_vs_ovf.c); none is left when all
// are full.
#include "ipvs/schedulers/greatest.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  return greatest_weight(service, now, [&](const Server& server) {
    return now.loads.of(server.id).active <= static_cast<uint32_t>(server.weight);
  });
}

}  // namespace

constinit const Scheduler kOverflow = {"ovf", build_no_table, pick};

}  // namespace shunt::ipvs
