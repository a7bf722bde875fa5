// mh: Maglev hashing, slot for slot the table of Linux (ip_vs_mh.c, 6.1), after Eisenbud et al.,
// "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4.
//
// Invariant: Service::table is empty or holds an index into Service::servers in every slot. It is a
// function of the servers' endpoints, last weights and order alone; a weight set to 0 by an edit
// therefore changes no slot: without mh-fallback the clients of that server are refused.
#include "ipvs/schedulers/mh.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string>

#include "ipvs/scheduler.h"
#include "net/siphash.h"

namespace shunt::ipvs {
namespace {

constexpr uint16_t kEmpty = UINT16_MAX;
constexpr size_t kMostServers = UINT16_MAX;  // indices 0..kEmpty - 1

/// How a server takes its slots: `turns` in a row a round, each the next free one of its
/// permutation.
struct Claim {
  uint16_t server;
  uint32_t slot;
  uint32_t skip;
  uint32_t turns;
};

std::string text(const ServiceKey& key) {
  return key.fwmark ? "mark " + std::to_string(key.fwmark) : to_string(key.endpoint);
}

/// Of an address of the other family, at a tunnel's end, the kernel takes what is where the
/// service's family has its words (ip_vs_mh_hashkey).
uint32_t fold_as(Family family, const Address& address) {
  if (family == Family::kV4) return fold(address.v4());
  // An IPv4 address lies in the first word, the others are zero.
  return fold(Ipv6{address.bytes});
}

std::vector<Claim> claims(Family family, const std::vector<Server>& servers, uint32_t size,
                          int turn_bits) {
  int32_t divisor = 0, greatest = 0;
  for (const Server& server : servers) {
    divisor = std::gcd(divisor, server.last_weight);
    greatest = std::max(greatest, server.last_weight);
  }
  std::vector<Claim> all;
  if (divisor == 0) return all;
  auto width = static_cast<int>(std::bit_width(static_cast<uint32_t>(greatest / divisor)));
  int shift = std::max(0, width - turn_bits);
  for (size_t i = 0; i < servers.size(); i++) {
    if (servers[i].last_weight == 0) continue;
    uint32_t address = fold_as(family, servers[i].endpoint.address);
    uint16_t port = servers[i].endpoint.port;
    auto turns = static_cast<uint32_t>(servers[i].last_weight / divisor) >> shift;
    all.push_back({static_cast<uint16_t>(i), mh_hash(address, port, 0, kMhOffsetKey) % size,
                   mh_hash(address, port, 0, kMhSkipKey) % (size - 1) + 1, std::max(turns, 1u)});
  }
  return all;
}

void fill(std::vector<uint16_t>& table, std::vector<Claim> all) {
  const auto size = static_cast<uint32_t>(table.size());
  uint32_t free = size;
  for (;;) {
    for (Claim& claim : all) {
      for (uint32_t turn = 0; turn < claim.turns; turn++) {
        // The size is prime: every skip visits every slot.
        while (table[claim.slot] != kEmpty) claim.slot = (claim.slot + claim.skip) % size;
        table[claim.slot] = claim.server;
        if (--free == 0) return;
      }
    }
  }
}

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  const auto& table = service.table;
  if (table.empty()) return {};
  const auto size = static_cast<uint32_t>(table.size());
  const uint16_t port = service.flags & kSchedFlag2 ? flow.client_port : 0;
  auto slot_at = [&](uint32_t offset) {
    return mh_hash(flow.client, port, offset, kMhOffsetKey) % size;
  };
  auto usable = [&](const Server& server) { return now.loads.is_usable(server); };

  const uint32_t first = slot_at(0);
  uint32_t slot = first;
  if (!usable(service.servers[table[slot]])) {
    const Pick none = {.slot = static_cast<int32_t>(first)};
    if (!(service.flags & kSchedFlag1)) return none;
    if (std::ranges::none_of(service.servers, usable)) return none;  // spares `size` hashes
    uint32_t tries = 0;
    do {
      if (tries == size) return none;
      slot = slot_at((tries++ + first) % size);
    } while (!usable(service.servers[table[slot]]));
  }
  return {table[slot], static_cast<int32_t>(slot)};
}

Result<void> build(Service& service, const SchedulerSettings& settings) {
  return build_mh_table(service, settings.mh_table_index);
}

}  // namespace

uint32_t mh_hash(uint32_t folded_address, uint16_t port, uint32_t offset, uint64_t key) {
  const uint32_t sum = offset + port + folded_address;  // wraps, as the kernel's
  const std::array<uint8_t, 4> message = {static_cast<uint8_t>(sum), static_cast<uint8_t>(sum >> 8),
                                          static_cast<uint8_t>(sum >> 16),
                                          static_cast<uint8_t>(sum >> 24)};
  return static_cast<uint32_t>(net::siphash<1, 3>(message.data(), message.size(), key, key));
}

Result<void> build_mh_table(Service& service, int table_index) {
  service.table.clear();
  const int row = table_index - kMhFirstTableIndex;
  if (row < 0 || row >= static_cast<int>(kMhTableSizes.size()))
    return Error{"mh has no table index " + std::to_string(table_index) +
                 ": choose one of 8 to 17"};
  const uint32_t size = kMhTableSizes[row];
  const size_t most = std::min<size_t>(size, kMostServers);
  if (service.servers.size() > most)
    return Error{"service " + text(service.key) + " has " + std::to_string(service.servers.size()) +
                 " servers, but mh's table has room for " + std::to_string(most) +
                 ": remove servers or choose another scheduler"};
  auto all = claims(service.key.family(), service.servers, size, table_index / 2);
  if (all.empty()) return {};
  service.table.assign(size, kEmpty);
  fill(service.table, std::move(all));
  return {};
}

constinit const Scheduler kMaglevHash = {"mh", build, pick, nullptr, nullptr, true};

}  // namespace shunt::ipvs
