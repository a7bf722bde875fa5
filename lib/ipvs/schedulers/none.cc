// none: a service without a scheduler has no server for anybody (ip_vs_schedule).
#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service&, SchedulerState&, const Flow&, const Now&) {
  return {};
}

}  // namespace

constinit const Scheduler kNoScheduler = {"none", build_no_table, pick};

}  // namespace shunt::ipvs
