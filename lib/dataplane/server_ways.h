// The ways of requests to servers under direct routing, over IPv6: all that a packet needs to be
// known which its session does not say. One line for each server, since all of its sessions go
// there by the same next hop; a session says which one, and by which routes that was found.
//
// A way is good for one revision of the plans (flow_plans.h): when routes, timeouts, servers or
// next hops change, each is looked at again before its next packet. Called by the swift lane of
// IPv6 (swift.h). Owner: the worker.
#pragma once

#include <cstdint>

#include "base/counter.h"
#include "dataplane/session.h"
#include "dataplane/untouched.h"
#include "ipvs/service_table.h"

namespace shunt::dataplane {

class Worker;

struct alignas(64) ServerWay {
  uint32_t revision;  ///< FlowPlans::revision() when it was last found good; 0: never
  uint16_t mtu;       ///< bytes of the packet
  uint8_t port;
  /// Session::hop_in and, behind it, routes_generation: of sessions that go this way.
  uint64_t hop;
  Counter* packets;  ///< of the server; bytes are FlowWay::kBytes behind
  uint64_t head;     ///< the first 12 bytes of frames: MAC addresses
  uint32_t tail;
};
static_assert(sizeof(ServerWay) == 64);

/// By a server's id.
using ServerWays = Untouched<ServerWay>;

inline uint64_t hop_of(const Session<net::V6>& session) {
  static_assert(offsetof(Session<net::V6>, routes_generation) ==
                offsetof(Session<net::V6>, hop_in) + 4);
  return session.hop_in | uint64_t{session.routes_generation} << 32;
}

/// Makes the way of its server good for this session. False: it may not go there without a look at
/// its routes, its next hop or its server.
bool make_good(Worker& worker, const Session<net::V6>& session) noexcept;

}  // namespace shunt::dataplane
