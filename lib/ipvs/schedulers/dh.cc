// dh: by the virtual address, so that a cache sees the same sites always: bucket for bucket the
// table of Linux (ip_vs_dh.c, 6.1). A service at one address so has one server.
//
// Invariant: Service::table is empty or holds an index into Service::servers in each of its 256
// buckets, the servers in list order, and round again; weights do not matter. What falls to an
// unusable server is refused.
#include "ipvs/scheduler.h"
#include "ipvs/schedulers/hash32.h"

namespace shunt::ipvs {
namespace {

Result<void> build(Service& service, const SchedulerSettings&) {
  service.table.clear();
  if (service.servers.empty()) return {};
  for (size_t bucket = 0; bucket < kHashBuckets; bucket++)
    service.table.push_back(static_cast<uint16_t>(bucket % service.servers.size()));
  return {};
}

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  if (service.table.empty()) return {};
  const uint32_t bucket = hash_bucket(flow.is_quoted ? flow.client : flow.virtual_address, 0, 0);
  Pick pick = {.slot = static_cast<int32_t>(bucket)};
  if (now.loads.is_usable(service.servers[service.table[bucket]]))
    pick.index = service.table[bucket];
  return pick;
}

}  // namespace

constinit const Scheduler kDestinationHash = {"dh", build, pick, nullptr, nullptr, true};

}  // namespace shunt::ipvs
