// lblc: a virtual address keeps its server until that is crowded or gone, then wlc chooses another
// (locality-based least connection, ip_vs_lblc.c, 6.1).
//
// A server that thresholds mark as overloaded keeps its addresses, as in Linux. Each worker
// remembers by itself.
#include "ipvs/schedulers/least.h"
#include "ipvs/schedulers/locality.h"

namespace shunt::ipvs {
namespace {

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  LocalityMap* map = locality_map(service, now);
  const int64_t life = expiration(now, Knob::kLblcExpiration);
  LocalityMap::Place* place = map ? map->find(flow, now, life) : nullptr;
  uint32_t before = kNoServer;
  if (place) {
    map->each(*place, [&](uint32_t id) { before = id; });
    const int32_t index = index_of(service, before);
    if (index != Pick::kNoPick) {
      const Server& server = service.servers[index];
      if (server.weight > 0 && !is_crowded(service, now, server)) return {index};
    }
  }
  const Pick pick =
      least_for_weight(service, now, [&](const Server& server) { return overhead(now, server); });
  if (pick.index == Pick::kNoPick || !map) return pick;
  const uint32_t chosen = service.servers[pick.index].id;
  if (!place) place = map->add(flow, now);
  if (!place || chosen == before) return pick;
  map->erase(*place, before, now.nanoseconds);
  map->insert(*place, chosen, now.nanoseconds);
  return pick;
}

}  // namespace

constinit const Scheduler kLocality = {"lblc", build_id_order, pick, nullptr, make_locality_memory};

}  // namespace shunt::ipvs
