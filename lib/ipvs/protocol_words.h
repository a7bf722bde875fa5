// Words and fields that replies of the control socket are written and read with. Callers:
// protocol.cc, reply_writer.cc.
#pragma once

#include "ipvs/listing.h"

namespace shunt::ipvs {

/// By ForwardMethod and TunnelType.
inline constexpr const char* kMethods[] = {"masquerade", "local", "tunnel", "route"};
inline constexpr const char* kTunnelTypes[] = {"ipip", "gue", "gre"};

struct CounterField {
  const char* name;
  const char* rate_name;
  uint64_t Counters::*member;
};
inline constexpr CounterField kCounterFields[] = {
    {"connections", "connections_per_second", &Counters::connections},
    {"in_packets", "in_packets_per_second", &Counters::in_packets},
    {"out_packets", "out_packets_per_second", &Counters::out_packets},
    {"in_bytes", "in_bytes_per_second", &Counters::in_bytes},
    {"out_bytes", "out_bytes_per_second", &Counters::out_bytes}};

}  // namespace shunt::ipvs
