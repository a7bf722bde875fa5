// What maglev offers beyond a Scheduler's functions: its table and its key.
//
// Called by maglev.cc itself, conf and rules (the key), and tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "ipvs/scheduler.h"
#include "net/siphash.h"

namespace shunt::ipvs {

/// More slots than a server could have its share of; a slot is two bytes of memory for each
/// service.
inline constexpr uint32_t kMaglevLeastSlots = 251, kMaglevMostSlots = 16'777'213;

/// An error unless it is a prime in range.
Result<void> check_maglev_slots(uint32_t slots);

/// Fills Service::table: slot → index in servers. Servers of weight 0 get no slot, all others their
/// exact share, rounded to slots by largest remainder, but one at least; the table is empty if
/// there is none. It depends on endpoints, weights and `slots` alone, not on the order of servers.
/// An error if `slots` is no prime in range, or if there are more servers than slots or than 65535.
Result<void> build_maglev_table(Service& service, uint32_t slots);

/// SipHash-2-4 of the flow's addresses, ports (network order) and protocol.
uint64_t maglev_hash(const Flow& flow, const net::SipKey& key);

/// 32 hexadecimal digits, the key's bytes in SipHash's order; nothing if they are not that.
std::optional<net::SipKey> parse_maglev_key(std::string_view text);

}  // namespace shunt::ipvs
