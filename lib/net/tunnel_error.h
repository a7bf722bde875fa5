// ICMP errors of routers inside a tunnel: what they quote is a packet of ours with a client's
// request in it. IPVS tells the client (ip_vs_in_icmp, ip_vs_core.c), and IPv4 in IPv4 alone.
//
// Called by the dataplane with frames that parse() has just described as ICMP; writes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "net/encapsulate.h"
#include "net/parse.h"

namespace shunt::net {

struct TunnelError {
  Ipv4 near_end, far_end;
  TunnelType type;
  uint16_t port;       ///< GUE: destination port, host order
  bool dont_fragment;  ///< of the outer packet
  uint16_t request;    ///< offset of the quoted request's IP header in the frame
  Tuple<V4> tuple;     ///< of the request, as its client sent it
};

/// None: the frame is no such error, or does not quote so far.
std::optional<TunnelError> parse_tunnel_error(const uint8_t* frame, const Parsed& parsed);

}  // namespace shunt::net
