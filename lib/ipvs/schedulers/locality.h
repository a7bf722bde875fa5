// What lblc and lblcr remember: for each virtual address the servers that had its connections last,
// so that a cache goes on to see the same sites.
//
// A worker's map has room for a fixed number of addresses and of servers, reserved when the service
// is made and zero until it is used; the packet path takes no memory. Where Linux's allocation
// would fail, the pick is good but not remembered. Owner of a map: its worker. Servers are
// remembered by id: one that was removed is not found in the service, one that was added again is.
#pragma once

#include <array>
#include <cstdint>

#include "ipvs/scheduler.h"

namespace shunt::ipvs {

class LocalityMap {
 public:
  /// Linux's limit of entries before old ones are swept out (IP_VS_LBLC_TAB_SIZE * 16).
  static constexpr uint32_t kPlaces = 16 * 1024;
  static constexpr uint32_t kMembers = 4 * kPlaces;
  /// Addresses in one bucket at the most: outsiders choose them, and one more is not remembered.
  static constexpr uint32_t kLongest = 32;
  /// How long an entry is safe when there is no room (ENTRY_TIMEOUT), nanoseconds.
  static constexpr uint64_t kSafe = uint64_t{6 * 60} * 1'000'000'000;

  struct Member {
    uint32_t server_id;
    uint32_t next;  ///< index + 1 in the members, 0: none
  };
  /// An address and its servers, the one added last first.
  struct Place {
    std::array<uint8_t, 16> address;
    uint64_t last_use;     ///< nanoseconds
    uint64_t last_change;  ///< of the servers, nanoseconds
    uint32_t members;      ///< the first: index + 1, 0: none
    uint32_t size;         ///< how many
    uint32_t next;         ///< of the same bucket or of the unused: index + 1, 0: none
    uint32_t bucket;
    bool used;
  };

  /// The place of the flow's virtual address; it is used now. One that was not used for
  /// `expiration` nanoseconds is forgotten (Linux does so twice an hour).
  Place* find(const Flow& flow, const Now& now, int64_t expiration);
  /// A place without servers; null: no room.
  Place* add(const Flow& flow, const Now& now);
  /// False if there is no room for it.
  bool insert(Place& place, uint32_t server_id, uint64_t now);
  void erase(Place& place, uint32_t server_id, uint64_t now);
  bool holds(const Place& place, uint32_t server_id) const;
  /// Calls visit(server_id) for each, the one inserted last first.
  template <class Visit>
  void each(const Place& place, Visit visit) const {
    for (uint32_t at = place.members; at != 0; at = x_members[at - 1].next)
      visit(x_members[at - 1].server_id);
  }

 private:
  static constexpr uint32_t kSweep = 64;  ///< places looked at for room by one pick

  void remove(uint32_t index);
  uint32_t free_place(uint64_t now);

  // All zero: empty. Lists are of index + 1, 0 ends them.
  std::array<uint32_t, kPlaces> x_buckets;
  std::array<Place, kPlaces> x_places;
  std::array<Member, kMembers> x_members;
  uint32_t x_places_used, x_members_used;  ///< once at least; then see the lists
  uint32_t x_free_places, x_free_members;
  uint32_t x_sweep;
};

/// The `make_memory` of both: a map for each worker.
Result<std::shared_ptr<SchedulerMemory>> make_locality_memory(const SchedulerSettings& settings);
/// The worker's map; null if the service has none for it.
LocalityMap* locality_map(const Service& service, const Now& now);

/// The `build` of both: Service::table has the servers' indices in the order of their ids.
Result<void> build_id_order(Service& service, const SchedulerSettings& settings);
/// The index of the server with this id, or Pick::kNoPick.
int32_t index_of(const Service& service, uint32_t server_id);

/// Nanoseconds, from a knob in seconds.
inline int64_t expiration(const Now& now, Knob knob) {
  return int64_t{now.knobs.of(knob)} * 1'000'000'000;
}

/// Has the server more active connections than its weight while another has less than half of its?
bool is_crowded(const Service& service, const Now& now, const Server& server);

}  // namespace shunt::ipvs
