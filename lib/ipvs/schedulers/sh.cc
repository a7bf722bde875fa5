// sh: by the client's address, with sh-port (flag 2) its port too: bucket for bucket the table of
// Linux (ip_vs_sh.c, 6.1).
//
// Invariant: Service::table is empty or holds an index into Service::servers in each of its 256
// buckets: in list order, and round again, each server has as many in a row as its weight, but one
// at least. The client of an unusable server is refused; with sh-fallback (flag 1) it is hashed
// anew until there is a usable one.
#include <algorithm>

#include "ipvs/scheduler.h"
#include "ipvs/schedulers/hash32.h"

namespace shunt::ipvs {
namespace {

Result<void> build(Service& service, const SchedulerSettings&) {
  service.table.clear();
  const auto& servers = service.servers;
  if (servers.empty()) return {};
  for (size_t i = 0; service.table.size() < kHashBuckets; i = (i + 1) % servers.size()) {
    const size_t room = kHashBuckets - service.table.size();
    const auto turns = static_cast<size_t>(std::max(servers[i].weight, 1));
    service.table.insert(service.table.end(), std::min(room, turns), static_cast<uint16_t>(i));
  }
  return {};
}

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  if (service.table.empty()) return {};
  const uint16_t port = service.flags & kSchedFlag2 ? flow.client_port : 0;
  auto is_usable = [&](uint32_t bucket) {
    return now.loads.is_usable(service.servers[service.table[bucket]]);
  };
  const uint32_t first = hash_bucket(flow.client, port, 0);
  uint32_t bucket = first;
  if (!is_usable(first)) {
    const Pick none = {.slot = static_cast<int32_t>(first)};
    if (!(service.flags & kSchedFlag1)) return none;
    uint32_t tries = 0;
    do {
      if (tries == kHashBuckets) return none;
      bucket = hash_bucket(flow.client, port, (tries++ + first) % kHashBuckets);
    } while (!is_usable(bucket));
  }
  return {service.table[bucket], static_cast<int32_t>(bucket)};
}

}  // namespace

constinit const Scheduler kSourceHash = {"sh", build, pick, nullptr, nullptr, true};

}  // namespace shunt::ipvs
