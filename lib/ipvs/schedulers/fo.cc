// fo: the usable server of the greatest weight takes everything (weighted fail over, ip_vs_fo.c);
// of equals the first of the list.
#include "ipvs/schedulers/greatest.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow&, const Now& now) {
  return greatest_weight(service, now, [](const Server&) { return true; });
}

}  // namespace

constinit const Scheduler kFailOver = {"fo", build_no_table, pick};

}  // namespace shunt::ipvs
