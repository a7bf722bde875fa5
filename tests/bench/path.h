// The paths through the worker that are measured, by name: how the services of a scene are set up
// and what traffic they get.
#pragma once

#include <string_view>

#include "base/address.h"
#include "net/headers.h"

namespace shunt::bench {

struct Path {
  const char* name;
  Family family;
  uint8_t protocol;
  const char* scheduler;
  const char* method;  ///< as ipvsadm's option
  bool both_ways;      ///< servers answer through the director
  bool one_packet;     ///< no sessions: every packet is scheduled by itself (-o)

  bool is_nat() const { return std::string_view(method) == "-m"; }
};

inline constexpr Path kPaths[] = {
    {"dr", Family::kV4, net::kTcp, "mh", "-g", false, false},
    {"nat", Family::kV4, net::kTcp, "mh", "-m", true, false},
    {"dr6", Family::kV6, net::kTcp, "mh", "-g", false, false},
    {"ipip", Family::kV4, net::kTcp, "mh", "-i", false, false},
    {"udp-o-maglev", Family::kV4, net::kUdp, "maglev", "-g", false, true},
    {"udp-o-mh", Family::kV4, net::kUdp, "mh", "-g", false, true},
};

inline const Path* path_named(std::string_view name) {
  for (const Path& path : kPaths)
    if (name == path.name) return &path;
  return nullptr;
}

/// What frames the traffic is made of.
enum class Mix : uint8_t {
  kSmall,  ///< 64 bytes; IPv6 74, the least that holds TCP
  kImix,   ///< 64, 594 and 1514 bytes, 19 : 10 : 3, about the usual 7 : 4 : 1
  kFull,   ///< IP packets of 1500 bytes; 1480 where a tunnel adds a header
};
inline constexpr std::string_view kMixNames[] = {"64", "imix", "1500"};

}  // namespace shunt::bench
