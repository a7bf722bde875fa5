// What goes into a FlowWay: where it leads, and what it does to packets. Callers: those who make
// flows swift, and those who schedule packets one by one without the stages.
#pragma once

#include "dataplane/flow_plans.h"
#include "dataplane/worker.h"

namespace shunt::dataplane {

/// IP in IP as FarEnds has it.
inline constexpr uint32_t kIpipFarEnd = 0;

/// By a next hop; `hop` is what is known of it, as one word. False: nobody answers there.
bool lead_to(const Worker& worker, uint32_t hop_id, FlowWay& way, uint64_t& hop);

/// By a tunnel to a server's far end. False: it is no IPv4 in IPv4 without more, or nobody answers
/// on the way.
bool lead_into_tunnel(Worker& worker, uint32_t server_id, FlowWay& way, uint32_t& hop_id,
                      uint64_t& hop);

struct WayEnd {
  Ipv4 address;
  be16 port;
};
/// NAT of the end that is not the client, with its checksum deltas.
void set_translation(const WayEnd& from, const WayEnd& to, uint16_t address_delta,
                     uint16_t port_delta, bool is_reply, FlowWay& way);

}  // namespace shunt::dataplane
