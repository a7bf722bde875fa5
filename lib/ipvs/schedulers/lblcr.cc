// lblcr: a virtual address has a set of servers, of which the least loaded takes its connections;
// when that is crowded wlc adds one, and after a day without a change of the set the most loaded
// leaves it (locality-based least connection with replication, ip_vs_lblcr.c, 6.1).
//
// Each worker remembers by itself. Removed servers stay in a set, as in Linux; when it shrinks they
// are the first to leave, while Linux compares what they had to do when they were removed.
#include "ipvs/schedulers/least.h"
#include "ipvs/schedulers/locality.h"

namespace shunt::ipvs {
namespace {

/// The member with the least overhead for its weight, of equals the one that came last.
Pick least(const Service& service, const Now& now, const LocalityMap& map,
           const LocalityMap::Place& place) {
  Pick least;
  uint64_t least_overhead = 0;
  map.each(place, [&](uint32_t id) {
    const int32_t index = index_of(service, id);
    if (index == Pick::kNoPick || !now.loads.is_usable(service.servers[index])) return;
    const Server& server = service.servers[index];
    const uint64_t own = overhead(now, server);
    if (least.index != Pick::kNoPick &&
        !is_less(own, server.weight, least_overhead, service.servers[least.index].weight))
      return;
    least.index = index;
    least_overhead = own;
  });
  return least;
}

/// The member that leaves: one that is no server any more, or the one of a weight above 0 with the
/// most overhead for it; kNoServer if there is none.
uint32_t most(const Service& service, const Now& now, const LocalityMap& map,
              const LocalityMap::Place& place) {
  uint32_t gone = kNoServer, most = kNoServer;
  uint64_t most_overhead = 0;
  int32_t most_weight = 0;
  map.each(place, [&](uint32_t id) {
    const int32_t index = index_of(service, id);
    if (index == Pick::kNoPick) {
      gone = id;
      return;
    }
    const Server& server = service.servers[index];
    if (server.weight <= 0) return;
    const uint64_t own = overhead(now, server);
    if (most != kNoServer && !is_less(most_overhead, most_weight, own, server.weight)) return;
    most = id, most_overhead = own, most_weight = server.weight;
  });
  return gone != kNoServer ? gone : most;
}

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  LocalityMap* map = locality_map(service, now);
  const int64_t life = expiration(now, Knob::kLblcrExpiration);
  LocalityMap::Place* place = map ? map->find(flow, now, life) : nullptr;
  if (place) {
    const Pick pick = least(service, now, *map, *place);
    const auto age = static_cast<int64_t>(now.nanoseconds - place->last_change);
    if (place->size > 1 && age > life)
      if (uint32_t id = most(service, now, *map, *place); id != kNoServer)
        map->erase(*place, id, now.nanoseconds);
    if (pick.index != Pick::kNoPick && !is_crowded(service, now, service.servers[pick.index]))
      return pick;
  }
  const Pick pick =
      least_for_weight(service, now, [&](const Server& server) { return overhead(now, server); });
  if (pick.index == Pick::kNoPick || !map) return pick;
  if (!place) place = map->add(flow, now);
  const uint32_t chosen = service.servers[pick.index].id;
  if (place && !map->holds(*place, chosen)) map->insert(*place, chosen, now.nanoseconds);
  return pick;
}

}  // namespace

constinit const Scheduler kReplicatedLocality = {"lblcr", build_id_order, pick, nullptr,
                                                 make_locality_memory};

}  // namespace shunt::ipvs
