// The kernel's routing tables as rtnetlink tells them, reduced to what the workers forward by.
//
// Invariant: holds every unicast and local route of the tables main and local, of every interface,
// as the kernel last said. Where an event does not say for certain what the kernel now has, apply()
// says so, and the owner dumps again. Called by Mirror; knows no socket, so tests feed it by hand.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "control/twin_links.h"
#include "share/routes.h"

struct nlmsghdr;

namespace shunt::control {

/// The kernel's route, or one way of a multipath route.
struct Way {
  uint32_t interface = 0;  ///< RTA_OIF
  uint32_t flags = 0;      ///< RTNH_F_…
  std::optional<Address> gateway;
  bool operator==(const Way&) const = default;
};

struct RouteMessage {
  enum Kind : uint8_t { kIgnored, kUnicast, kLocal, kBroadcast, kRefusing };
  Kind kind = kIgnored;
  Prefix prefix;
  uint32_t metric = 0;  ///< RTA_PRIORITY
  uint32_t mtu = 0;     ///< RTAX_MTU
  std::optional<Address> source;
  std::vector<Way> ways;
  bool operator==(const RouteMessage&) const = default;
};

/// Reads RTM_NEWROUTE or RTM_DELROUTE. Ignored: other tables, cached and multicast routes, routes
/// by TOS, link-local prefixes (no packet is forwarded by them, and every twin has the same).
RouteMessage parse_route(const nlmsghdr& message);

class MirrorRoutes {
 public:
  bool operator==(const MirrorRoutes&) const = default;

  struct Applied {
    bool changed = false;
    bool uncertain = false;  ///< dump again
  };
  /// Applies one message of a dump, or one event.
  Applied apply(const nlmsghdr& message, bool from_dump);

  struct Tables {
    std::vector<share::Route> routes;
    std::vector<share::LocalAddress> locals;
    /// By which interface each prefix on-link is reached; empty if all are by twins.
    std::vector<std::pair<Prefix, uint32_t>> on_link;
  };
  /// What the workers are given. `ports`: interface index → port, of twins and of macvlans on them,
  /// which are one wire. Of several routes to a
  /// prefix the one of the lowest metric that leaves by an interface of theirs which is up counts;
  /// of several ways the first such, one with a carrier before one without.
  ///
  /// Left out are routes by other interfaces, blackhole, unreachable and prohibit routes: workers
  /// then take the next shorter prefix, unlike the kernel. Who needs a hole in a default route
  /// leaves the default route out of the twins.
  Tables compile(const std::map<uint32_t, uint8_t>& ports,
                 const std::map<uint32_t, Link>& links) const;

 private:
  struct Key {
    bool local;  ///< or broadcast
    Prefix prefix;
    uint32_t metric;
    auto operator<=>(const Key&) const = default;
  };
  /// Routes of one key, the kernel's favourite first; more than one only when appended.
  std::map<Key, std::vector<RouteMessage>> x_routes;
};

}  // namespace shunt::control
