// The two address families as traits, so that every function of the packet path is written once.
//
// template <class F> with F = V4 or V6 is the only way family appears on the packet path.
#pragma once

#include "net/headers.h"

namespace shunt::net {

struct V4 {
  using Address = Ipv4;
  using Header = Ipv4Header;
  static constexpr Family family = Family::kV4;
  static constexpr uint16_t kEtherType = kEtherTypeIpv4;
  static constexpr uint8_t kIcmpProtocol = kIcmp;
  static uint8_t& hop_limit(Header& h) { return h.ttl; }
  static uint8_t hop_limit(const Header& h) { return h.ttl; }
};

struct V6 {
  using Address = Ipv6;
  using Header = Ipv6Header;
  static constexpr Family family = Family::kV6;
  static constexpr uint16_t kEtherType = kEtherTypeIpv6;
  static constexpr uint8_t kIcmpProtocol = kIcmpv6;
  static uint8_t& hop_limit(Header& h) { return h.hop_limit; }
  static uint8_t hop_limit(const Header& h) { return h.hop_limit; }
};

/// An address that is known to be of family F.
template <class F>
typename F::Address address_of(const Address& address) {
  if constexpr (F::family == Family::kV4)
    return address.v4();
  else
    return address.v6();
}

/// Source and destination of a packet as they stand in it: the key of every flow table. Ports are
/// in wire order; for ICMP errors it is the tuple of the embedded packet. Plain bytes without
/// padding, fit to be hashed and compared as memory: 16 bytes (V4), 40 (V6).
template <class F>
struct Tuple {
  typename F::Address source;
  typename F::Address destination;
  be16 source_port;
  be16 destination_port;
  uint8_t protocol;
  uint8_t zero[3];

  Tuple reversed() const {
    return {destination, source, destination_port, source_port, protocol, {}};
  }
  friend bool operator==(const Tuple&, const Tuple&) = default;
};

static_assert(sizeof(Tuple<V4>) == 16 && alignof(Tuple<V4>) == 1);
static_assert(sizeof(Tuple<V6>) == 40 && alignof(Tuple<V6>) == 1);

}  // namespace shunt::net
