// The swift lane: the packets of swift flows (flow_plans.h) from the port to the port without a
// look at their sessions. A line of the index and a plan are all they need. What does not go this
// way is left as it was, in order.
//
// Swift are plain frames of established IPv4 flows under direct routing, NAT or IP in IP whose
// session has an exact key in the index. Those of IPv6, under direct routing, need the first line
// of their session and the way to its server (server_ways.h) instead. What the other lanes would do
// with such a packet is done here, and they stay the specification (tests/flow/express_test.cc).
//
// The lane is compiled for several kinds of CPU, and the one to be used is chosen at start.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// SwiftLanes: they add the packets that they leave to `rest`, and say whether the express lane
/// could take one of those. `bytes`: of the whole burst.
bool swift_any(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest, uint64_t& bytes);
bool swift6_any(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest);
#ifdef __x86_64__
bool swift_v3(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest,
              uint64_t& bytes);  ///< x86-64-v3
bool swift_v4(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest,
              uint64_t& bytes);  ///< x86-64-v4
bool swift6_v3(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest);
bool swift6_v4(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest);
#endif
SwiftLanes choose_swift_lanes();

/// Makes the flow of a session swift that just had a packet, if it may be.
void speed_up(Worker& worker, uint32_t number);

/// Whether a way that is in doubt (flow_plans.h) is as good as ever; then it is of this revision,
/// and its next hop is in use.
bool is_still_good(Worker& worker, uint16_t plan, bool is_reply) noexcept;

/// For --explain: what the stages would have noted of a packet.
void note_swift(Worker& worker, rte_mbuf* packet, uint64_t word, bool is_reply,
                uint8_t port_in) noexcept;
void note_swift(Worker& worker, rte_mbuf* packet, const Session<net::V6>& session,
                uint8_t port_in) noexcept;

}  // namespace shunt::dataplane
