// What of a client's endpoint its sessions with a service have in common: the whole endpoint, or,
// where the service is persistent, the network it is in. It names the template a client falls
// under, and with many workers the one that owns its sessions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "net/family.h"

namespace shunt::ipvs {

struct ClientPart {
  bool is_network = false;  ///< else all of it, the port too
  uint32_t netmask = 0;     ///< of a network: as in ServiceConfig; else 0
  friend bool operator==(const ClientPart&, const ClientPart&) = default;
};

/// The network of an address. `netmask`: IPv4 a mask in host order, which may have holes as in
/// IPVS; IPv6 a prefix length, 0 to 128.
template <class F>
typename F::Address network_of(typename F::Address address, uint32_t netmask) {
  if constexpr (F::family == Family::kV4) {
    for (unsigned i = 0; i < 4; i++)
      address.bytes[i] &= static_cast<uint8_t>(netmask >> (24 - 8 * i));
  } else {
    for (unsigned i = 0; i < 16; i++) {
      unsigned kept = std::min(netmask - std::min(netmask, 8 * i), 8u);
      address.bytes[i] &= static_cast<uint8_t>(0xff00 >> kept);
    }
  }
  return address;
}

}  // namespace shunt::ipvs
