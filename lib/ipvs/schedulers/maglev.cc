// maglev: Shunt's own consistent hash of whole flows, after Eisenbud et al., "Maglev: A Fast and
// Reliable Software Network Load Balancer", NSDI 2016, section 3.4; with exact weights, under a
// secret key, and the same table whatever order servers came in.
//
// Invariant: Service::table is empty or holds an index into Service::servers in every slot.
#include "ipvs/schedulers/maglev.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

namespace shunt::ipvs {
namespace {

constexpr uint16_t kEmpty = UINT16_MAX;
constexpr size_t kMostServers = UINT16_MAX;  // indices 0..kEmpty - 1

/// Keys of the permutations: constants, so that tables of different machines agree. The secret one
/// is of the lookup: who does not know it cannot aim at a slot.
constexpr net::SipKey kOffsetKey = {0, 1}, kSkipKey = {0, 2};

/// How a server takes its slots: `quota` of them, each the next free one of its permutation.
struct Claim {
  uint16_t server;
  uint32_t slot;
  uint32_t skip;
  uint32_t quota;
};

bool is_prime(uint32_t n) {
  if (n < 2) return false;
  for (uint32_t d = 2; d <= n / d; d++)
    if (n % d == 0) return false;
  return true;
}

/// Claims without quotas, in the order of endpoints.
std::vector<Claim> claims(const std::vector<Server>& servers, uint32_t slots) {
  std::vector<Claim> all;
  for (size_t i = 0; i < servers.size(); i++) {
    if (servers[i].weight <= 0) continue;
    const Endpoint& at = servers[i].endpoint;
    std::array<uint8_t, 18> name;
    std::ranges::copy(at.address.bytes, name.begin());
    name[16] = static_cast<uint8_t>(at.port >> 8), name[17] = static_cast<uint8_t>(at.port);
    auto hash = [&](const net::SipKey& key) {
      return net::siphash<2, 4>(name.data(), name.size(), key);
    };
    all.push_back({static_cast<uint16_t>(i), static_cast<uint32_t>(hash(kOffsetKey) % slots),
                   static_cast<uint32_t>(hash(kSkipKey) % (slots - 1) + 1), 0});
  }
  std::ranges::sort(all, {}, [&](const Claim& claim) { return servers[claim.server].endpoint; });
  return all;
}

/// Shares the slots out by weight: by largest remainder, of equal ones to the lesser endpoint.
void set_quotas(std::vector<Claim>& all, const std::vector<Server>& servers, uint32_t slots) {
  auto weight = [&](const Claim& claim) {
    return static_cast<uint64_t>(servers[claim.server].weight);
  };
  uint64_t total = 0;
  for (const Claim& claim : all) total += weight(claim);
  uint32_t given = 0;
  for (Claim& claim : all) {
    claim.quota = static_cast<uint32_t>(slots * weight(claim) / total);
    given += claim.quota;
  }
  std::vector<Claim*> by_remainder;
  for (Claim& claim : all) by_remainder.push_back(&claim);
  std::ranges::stable_sort(by_remainder, std::greater<>(),
                           [&](const Claim* claim) { return slots * weight(*claim) % total; });
  for (size_t i = 0; given < slots; i++, given++) by_remainder[i]->quota++;
  for (Claim& claim : all) {
    if (claim.quota > 0) continue;
    std::ranges::max_element(all, {}, &Claim::quota)->quota--;
    claim.quota = 1;
  }
}

/// Which claim takes the n-th slot: each takes its slots at even distances.
std::vector<uint16_t> turns(const std::vector<Claim>& all, uint32_t slots) {
  const uint64_t rounds = std::ranges::max_element(all, {}, &Claim::quota)->quota;
  auto round_of = [&](const Claim& claim, uint32_t turn) {
    return (uint64_t{turn} * rounds + rounds - 1) / claim.quota;
  };
  std::vector<uint32_t> ends(rounds + 1, 0);  // of each round's turns, then its next free place
  for (const Claim& claim : all)
    for (uint32_t turn = 0; turn < claim.quota; turn++) ends[round_of(claim, turn) + 1]++;
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<uint16_t> order(slots);
  for (size_t i = 0; i < all.size(); i++)
    for (uint32_t turn = 0; turn < all[i].quota; turn++)
      order[ends[round_of(all[i], turn)]++] = static_cast<uint16_t>(i);
  return order;
}

Result<void> build(Service& service, const SchedulerSettings& settings) {
  service.key_of_hash = settings.maglev_key;
  return build_maglev_table(service, settings.maglev_slots);
}

Pick pick(const Service& service, SchedulerState&, const Flow& flow, const Now& now) {
  const auto& table = service.table;
  if (table.empty()) return {};
  uint64_t hash = maglev_hash(flow, service.key_of_hash);
  auto slot = static_cast<size_t>(hash % table.size());
  const auto first = static_cast<int32_t>(slot);
  auto usable = [&](const Server& server) { return now.loads.is_usable(server); };
  if (!usable(service.servers[table[slot]])) {
    if (std::ranges::none_of(service.servers, usable)) return {.slot = first};
    // Overloaded: drawn anew, so that the others share its flows; a walk ends what draws do not.
    constexpr size_t kDraws = 64;
    for (size_t tries = 0; !usable(service.servers[table[slot]]); tries++) {
      if (tries == kDraws + table.size()) return {.slot = first};
      hash = (hash ^ hash >> 31) * 0x9e3779b97f4a7c15;
      slot = tries < kDraws ? (hash >> 16) % table.size() : (slot + 1) % table.size();
    }
  }
  return {table[slot], static_cast<int32_t>(slot)};
}

}  // namespace

Result<void> check_maglev_slots(uint32_t slots) {
  if (slots < kMaglevLeastSlots || slots > kMaglevMostSlots || !is_prime(slots))
    return Error{"maglev's table cannot have " + std::to_string(slots) +
                 " slots: choose a prime from " + std::to_string(kMaglevLeastSlots) + " to " +
                 std::to_string(kMaglevMostSlots)};
  return {};
}

Result<void> build_maglev_table(Service& service, uint32_t slots) {
  service.table.clear();
  if (auto good = check_maglev_slots(slots); !good) return good;
  const size_t most = std::min<size_t>(slots, kMostServers);
  if (service.servers.size() > most)
    return Error{"a service has " + std::to_string(service.servers.size()) +
                 " servers, but maglev's table has room for " + std::to_string(most) +
                 ": remove servers or choose another scheduler"};
  auto all = claims(service.servers, slots);
  if (all.empty()) return {};
  set_quotas(all, service.servers, slots);
  service.table.assign(slots, kEmpty);
  for (uint16_t turn : turns(all, slots)) {
    Claim& claim = all[turn];
    // The size is prime: every skip visits every slot.
    while (service.table[claim.slot] != kEmpty) {
      claim.slot += claim.skip;
      if (claim.slot >= slots) claim.slot -= slots;
    }
    service.table[claim.slot] = claim.server;
  }
  return {};
}

uint64_t maglev_hash(const Flow& flow, const net::SipKey& key) {
  std::array<uint8_t, 37> message;
  uint8_t* p = message.data();
  auto put = [&p](const void* bytes, size_t size) {
    std::memcpy(p, bytes, size);
    p += size;
  };
  const std::array<uint8_t, 5> rest = {static_cast<uint8_t>(flow.client_port >> 8),
                                       static_cast<uint8_t>(flow.client_port),
                                       static_cast<uint8_t>(flow.virtual_port >> 8),
                                       static_cast<uint8_t>(flow.virtual_port), flow.protocol};
  if (flow.address_size != 0) {
    put(flow.client_bytes, flow.address_size);
    put(flow.virtual_bytes, flow.address_size);
  }
  put(rest.data(), rest.size());
  return net::siphash<2, 4>(message.data(), static_cast<size_t>(p - message.data()), key);
}

std::optional<net::SipKey> parse_maglev_key(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  std::array<uint64_t, 2> words{};
  for (size_t i = 0; i < text.size(); i++) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const char c = text[i];
    const size_t digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
    if (digit == kDigits.npos) return std::nullopt;
    const size_t byte = i / 2;  // SipHash reads its key as two little-endian words
    words[byte / 8] |= uint64_t{digit} << (byte % 8 * 8 + (i % 2 == 0 ? 4 : 0));
  }
  return net::SipKey{words[0], words[1]};
}

constinit const Scheduler kMaglev = {"maglev", build, pick, nullptr, nullptr, true};

}  // namespace shunt::ipvs
