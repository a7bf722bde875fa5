#include "ipvs/schedulers/locality.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>
#include <type_traits>

namespace shunt::ipvs {
namespace {

static_assert(std::is_trivial_v<LocalityMap>, "zero pages are empty maps");

/// Pages of zeros that exist only once they are touched.
class Maps : public SchedulerMemory {
 public:
  Maps(void* pages, unsigned workers)
      : x_maps(static_cast<LocalityMap*>(pages)), x_workers(workers) {}
  ~Maps() override { munmap(x_maps, x_workers * sizeof(LocalityMap)); }
  Maps(const Maps&) = delete;
  Maps& operator=(const Maps&) = delete;
  LocalityMap* of(unsigned worker) { return worker < x_workers ? &x_maps[worker] : nullptr; }

 private:
  LocalityMap* x_maps;
  unsigned x_workers;
};

std::array<uint8_t, 16> padded(const Flow& flow) {
  std::array<uint8_t, 16> address{};
  const uint8_t* bytes = flow.is_quoted ? flow.client_bytes : flow.virtual_bytes;
  if (bytes) std::memcpy(address.data(), bytes, std::min<size_t>(flow.address_size, 16));
  return address;
}

uint32_t bucket_of(const std::array<uint8_t, 16>& address, const Now& now) {
  const uint64_t hash = net::siphash<1, 3>(address.data(), address.size(), now.keys->addresses);
  return static_cast<uint32_t>(hash % LocalityMap::kPlaces);
}

}  // namespace

LocalityMap::Place* LocalityMap::find(const Flow& flow, const Now& now, int64_t expiration) {
  const auto address = padded(flow);
  for (uint32_t at = x_buckets[bucket_of(address, now)]; at != 0; at = x_places[at - 1].next) {
    Place& place = x_places[at - 1];
    if (place.address != address) continue;
    if (static_cast<int64_t>(now.nanoseconds - place.last_use) >= expiration) {
      remove(at - 1);
      return nullptr;
    }
    place.last_use = now.nanoseconds;
    return &place;
  }
  return nullptr;
}

LocalityMap::Place* LocalityMap::add(const Flow& flow, const Now& now) {
  const auto address = padded(flow);
  const uint32_t bucket = bucket_of(address, now);
  uint32_t length = 0;
  for (uint32_t at = x_buckets[bucket]; at != 0; at = x_places[at - 1].next) length++;
  if (length >= kLongest) return nullptr;
  const uint32_t at = free_place(now.nanoseconds);
  if (at == 0) return nullptr;
  Place& place = x_places[at - 1];
  place = {};
  place.address = address;
  place.bucket = bucket;
  place.last_use = place.last_change = now.nanoseconds;
  place.used = true;
  place.next = x_buckets[bucket];
  x_buckets[bucket] = at;
  return &place;
}

uint32_t LocalityMap::free_place(uint64_t now) {
  if (x_places_used < kPlaces) return ++x_places_used;
  for (uint32_t i = 0; i < kSweep && x_free_places == 0; i++) {
    x_sweep = (x_sweep + 1) % kPlaces;
    if (x_places[x_sweep].used && x_places[x_sweep].last_use + kSafe <= now) remove(x_sweep);
  }
  const uint32_t at = x_free_places;
  if (at != 0) x_free_places = x_places[at - 1].next;
  return at;
}

void LocalityMap::remove(uint32_t index) {
  Place& place = x_places[index];
  uint32_t* link = &x_buckets[place.bucket];
  while (*link != index + 1) link = &x_places[*link - 1].next;
  *link = place.next;
  while (place.members != 0) {
    Member& member = x_members[place.members - 1];
    const uint32_t next = member.next;
    member.next = x_free_members;
    x_free_members = place.members;
    place.members = next;
  }
  place.used = false;
  place.next = x_free_places;
  x_free_places = index + 1;
}

bool LocalityMap::insert(Place& place, uint32_t server_id, uint64_t now) {
  uint32_t at = x_free_members;
  if (at != 0)
    x_free_members = x_members[at - 1].next;
  else if (x_members_used < kMembers)
    at = ++x_members_used;
  else
    return false;
  x_members[at - 1] = {server_id, place.members};
  place.members = at;
  place.size++;
  place.last_change = now;
  return true;
}

void LocalityMap::erase(Place& place, uint32_t server_id, uint64_t now) {
  for (uint32_t* link = &place.members; *link != 0; link = &x_members[*link - 1].next) {
    const uint32_t at = *link;
    if (x_members[at - 1].server_id != server_id) continue;
    *link = x_members[at - 1].next;
    x_members[at - 1].next = x_free_members;
    x_free_members = at;
    place.size--;
    place.last_change = now;
    return;
  }
}

bool LocalityMap::holds(const Place& place, uint32_t server_id) const {
  bool found = false;
  each(place, [&](uint32_t id) { found |= id == server_id; });
  return found;
}

Result<std::shared_ptr<SchedulerMemory>> make_locality_memory(const SchedulerSettings& settings) {
  const size_t size = settings.workers * sizeof(LocalityMap);
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED)
    return Error{"no memory for what this scheduler remembers (" + std::to_string(size) +
                 " bytes): " + std::strerror(errno)};
  madvise(pages, size, MADV_NOHUGEPAGE);  // a service with one address touches a few small pages
  return std::shared_ptr<SchedulerMemory>(std::make_shared<Maps>(pages, settings.workers));
}

LocalityMap* locality_map(const Service& service, const Now& now) {
  return service.memory ? static_cast<Maps&>(*service.memory).of(now.worker) : nullptr;
}

Result<void> build_id_order(Service& service, const SchedulerSettings&) {
  service.table.clear();
  const auto& servers = service.servers;
  if (servers.size() > UINT16_MAX)
    return Error{"a service has " + std::to_string(servers.size()) + " servers, but lblc and " +
                 "lblcr take " + std::to_string(UINT16_MAX) +
                 ": remove servers or choose another scheduler"};
  service.table.resize(servers.size());
  std::iota(service.table.begin(), service.table.end(), uint16_t{0});
  std::ranges::sort(service.table, {}, [&](uint16_t index) { return servers[index].id; });
  return {};
}

int32_t index_of(const Service& service, uint32_t server_id) {
  const auto& table = service.table;
  auto id_at = [&](uint16_t index) { return service.servers[index].id; };
  auto found = std::ranges::lower_bound(table, server_id, {}, id_at);
  return found != table.end() && id_at(*found) == server_id ? *found : Pick::kNoPick;
}

bool is_crowded(const Service& service, const Now& now, const Server& server) {
  auto active = [&](const Server& any) { return now.loads.of(any.id).active; };
  auto weight = [](const Server& any) { return static_cast<uint32_t>(any.weight); };
  return active(server) > weight(server) &&
         std::ranges::any_of(service.servers,
                             [&](const Server& any) { return active(any) * 2 < weight(any); });
}

}  // namespace shunt::ipvs
