// A worker's ways to the far ends of tunnels: the route that the kernel would keep for a server, by
// server id (ip_vs_dest's dest_dst), and what routers on the way said of its MTU.
//
// A way is looked up again when routes or a known path MTU have changed. A path MTU is known by
// address and forgotten after ten minutes. Owner: one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "dataplane/identifiers.h"
#include "dataplane/session.h"
#include "dataplane/token_bucket.h"
#include "ipvs/service_table.h"
#include "share/zero_rows.h"

namespace shunt::dataplane {

/// Path MTUs that routers have told, as the kernel remembers them (ip_rt_update_pmtu, route.c).
class PathMtus {
 public:
  /// Bytes below which none is taken for true (net.ipv4.route.min_pmtu).
  static constexpr uint32_t kLeast = 552;
  /// How long one is remembered (net.ipv4.route.mtu_expires).
  static constexpr Nanoseconds kRemembered = 600'000'000'000;

  /// Changes that are believed in a second, and at once.
  static constexpr uint64_t kRate = 10, kBurst = 64;

  struct Known {
    Address to;
    uint32_t mtu = 0;  ///< 0: nothing is known
    Nanoseconds until = 0;
  };

  /// Null: nothing is known (any more).
  const Known* find(const Address& to, Nanoseconds now) const {
    const Known& known = x_known[place(to)];
    return known.mtu != 0 && known.to == to && known.until > now ? &known : nullptr;
  }
  /// False: it would change what is known, and that has changed too often lately. A change costs
  /// all flows their plans, and routers change seldom.
  bool learn(const Address& to, uint32_t mtu, Nanoseconds now) {
    Known& known = x_known[place(to)];
    const uint32_t taken = mtu < kLeast ? kLeast : mtu;
    // Who says again what is known changes nothing but how long it is remembered.
    if (!(known.to == to && known.mtu == taken && known.until > now)) {
      if (!x_bucket.take(now)) return false;
      x_changes++;
    }
    known = {to, taken, now + kRemembered};
    return true;
  }
  /// Counts what was learned.
  uint32_t changes() const { return x_changes; }

 private:
  static constexpr size_t kPlaces = 1024;  ///< two addresses at one place: the later one stays
  static size_t place(const Address& to) {
    uint32_t hash = 0;
    for (uint8_t byte : to.bytes) hash = hash * 31 + byte;
    return (hash * 0x9e3779b1u) >> 22;
  }
  static_assert(kPlaces == 1u << (32 - 22));

  std::array<Known, kPlaces> x_known{};
  uint32_t x_changes = 0;
  TokenBucket x_bucket{kRate, kBurst};
};

struct TunnelWay {
  uint32_t generation = 0;  ///< of the routes it was found with; 0: not looked up
  uint32_t changes = 0;     ///< of path MTUs
  Nanoseconds until = 0;    ///< when its path MTU is forgotten; 0: never
  uint32_t hop = kNoHop;
  uint32_t mtu = 0;  ///< bytes of the outer packet
  uint8_t port = 0;
  bool exists = false;       ///< there is a route, and an address to come from
  bool is_own = false;       ///< the far end is this host: nothing is encapsulated
  Address next;              ///< next hop
  Address source;            ///< of the outer packet
  TunnelIds::Place ids = 0;  ///< of outer IPv4 packets
};

class TunnelWays {
 public:
  TunnelWay& of(uint32_t server_id) { return x_rows[server_id]; }

  PathMtus mtus;

 private:
  share::ZeroRows<TunnelWay> x_rows{ipvs::kMaxServers};
};

}  // namespace shunt::dataplane
