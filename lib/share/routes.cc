#include "share/routes.h"

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_rib.h>
#include <rte_rib6.h>

#include <atomic>
#include <cassert>
#include <cstring>
#include <string>
#include <utility>

namespace shunt::share {

namespace {

// Its mempool's name is cut short if it is long, so a rib's must be short and unique.
std::string rib_name() {
  static std::atomic<unsigned> serial;
  return "routes." + std::to_string(serial++);
}

uint32_t host_order(const Address& address) {
  uint32_t raw;
  std::memcpy(&raw, address.bytes.data(), 4);
  return rte_be_to_cpu_32(raw);
}

bool add(rte_rib* rib, const Prefix& prefix, uint64_t place) {
  auto* node = rte_rib_insert(rib, host_order(prefix.address), prefix.length);
  if (node == nullptr) return rte_errno == EEXIST;  // the first counts
  return rte_rib_set_nh(node, place) == 0;
}

bool add(rte_rib6* rib, const Prefix& prefix, uint64_t place) {
  auto* node = rte_rib6_insert(rib, prefix.address.bytes.data(), prefix.length);
  if (node == nullptr) return rte_errno == EEXIST;
  return rte_rib6_set_nh(node, place) == 0;
}

/// In 127.0.0.0/8, or ::1.
bool is_loopback(const Address& address) {
  if (address.is_v4()) return address.bytes[0] == 127;
  Ipv6 loopback{};
  loopback.bytes[15] = 1;
  return address == Address(loopback);
}

constexpr uint64_t kNone = UINT64_MAX;

uint64_t find(rte_rib* rib4, rte_rib6* rib6, const Address& address) {
  uint64_t place = kNone;
  if (address.is_v4()) {
    auto* node = rib4 ? rte_rib_lookup(rib4, host_order(address)) : nullptr;
    if (node != nullptr) rte_rib_get_nh(node, &place);
  } else {
    auto* node = rib6 ? rte_rib6_lookup(rib6, address.bytes.data()) : nullptr;
    if (node != nullptr) rte_rib6_get_nh(node, &place);
  }
  return place;
}

}  // namespace

/// Makes the ribs of `entries`; false: not enough memory.
template <class Entry>
bool Routes::index(const std::vector<Entry>& entries, rte_rib*& rib4, rte_rib6*& rib6) {
  int n4 = 0, n6 = 0;
  for (const auto& entry : entries) (entry.prefix.address.is_v4() ? n4 : n6)++;
  // Every prefix may need a node for itself and one where it branches off.
  rte_rib_conf conf4{.ext_sz = 0, .max_nodes = 2 * n4};
  rte_rib6_conf conf6{.ext_sz = 0, .max_nodes = 2 * n6};
  if (n4 > 0 && (rib4 = rte_rib_create(rib_name().c_str(), -1, &conf4)) == nullptr) return false;
  if (n6 > 0 && (rib6 = rte_rib6_create(rib_name().c_str(), -1, &conf6)) == nullptr) return false;
  for (size_t i = 0; i < entries.size(); i++) {
    const Prefix& prefix = entries[i].prefix;
    if (!(prefix.address.is_v4() ? add(rib4, prefix, i) : add(rib6, prefix, i))) return false;
  }
  return true;
}

Result<std::unique_ptr<Routes>> Routes::build(const char* name, std::vector<Route> routes,
                                              std::vector<LocalAddress> locals,
                                              uint32_t generation) {
  assert(generation != 0);
  std::unique_ptr<Routes> built(new Routes);
  built->x_routes = std::move(routes);
  built->x_locals = std::move(locals);
  built->x_generation = generation;
  if (!built->index(built->x_routes, built->x_rib4, built->x_rib6) ||
      !built->index(built->x_locals, built->x_local4, built->x_local6))
    return Error{std::string("routes ") + name + ": no memory for " +
                 std::to_string(built->x_routes.size()) + " routes and " +
                 std::to_string(built->x_locals.size()) +
                 " local addresses: " + rte_strerror(rte_errno) + "; reserve more memory"};
  for (const char* martians :
       {"0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128"})
    built->suspect(*parse_prefix(martians));
  for (const LocalAddress& local : built->x_locals)
    if (local.prefix.length != 0) built->suspect(local.prefix);
  return built;
}

void Routes::suspect(const Prefix& prefix) {
  const Address& address = prefix.address;
  if (address.is_v4()) {
    const uint32_t first = host_order(address) >> 16;
    const uint32_t count = prefix.length < 16 ? 1u << (16 - prefix.length) : 1;
    for (uint32_t i = first & ~(count - 1), n = 0; n < count; i++, n++) {
      const uint16_t as_it_lies = rte_cpu_to_be_16(static_cast<uint16_t>(i));
      x_suspects4[as_it_lies / 64] |= uint64_t{1} << as_it_lies % 64;
    }
  } else if (prefix.length >= 64) {
    const uint32_t place = suspect_place(address.v6());
    x_suspects6[place / 64] |= uint64_t{1} << place % 64;
  } else {
    x_suspects6.fill(UINT64_MAX);
  }
}

Routes::~Routes() {
  rte_rib_free(x_rib4);
  rte_rib_free(x_local4);
  rte_rib6_free(x_rib6);
  rte_rib6_free(x_local6);
}

const Route* Routes::lookup(const Address& destination) const {
  uint64_t place = find(x_rib4, x_rib6, destination);
  return place == kNone ? nullptr : &x_routes[place];
}

const LocalAddress* Routes::find_local(const Address& address) const {
  uint64_t place = find(x_local4, x_local6, address);
  return place == kNone ? nullptr : &x_locals[place];
}

bool Routes::is_local(const Address& address) const {
  const LocalAddress* local = find_local(address);
  return local && !local->is_broadcast && !is_loopback(address);
}

bool Routes::is_own(const Address& address) const {
  const LocalAddress* local = find_local(address);
  return local && !local->is_broadcast && local->prefix.length != 0;
}

SourceVerdict Routes::judge_source(const Address& source) const noexcept {
  const uint8_t first = source.bytes[0];
  const bool is_group =
      source.is_v4() ? (first & 0xf0) == 0xe0 || source == Address(Ipv4{{255, 255, 255, 255}})
                     : first == 0xff;
  if (is_group || is_loopback(source) || source.is_unspecified()) return SourceVerdict::kMartian;
  const LocalAddress* local = find_local(source);
  if (!local || local->prefix.length == 0) return SourceVerdict::kAccepted;
  return local->is_broadcast ? SourceVerdict::kMartian : SourceVerdict::kOwn;
}

}  // namespace shunt::share
