// A tunnel's outer headers: IP in IP (RFC 2003, 2473, 4213), GRE (RFC 2784) and Generic UDP
// Encapsulation (draft-ietf-intarea-gue, version 0), as IPVS writes them (ip_vs_tunnel_xmit and
// ip_vs_tunnel_xmit_v6, ip_vs_xmit.c): TTL, type of service and, in IPv4, DF are the inner
// packet's, but for congestion experienced (RFC 3168 section 9.1.1).
//
// Called by the dataplane with a packet whose hop limit has fallen already; nothing but the outer
// headers is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/family.h"

namespace shunt::net {

/// The kernel's values (IP_VS_CONN_F_TUNNEL_TYPE_*, linux/ip_vs.h).
enum class TunnelType : uint8_t { kIpip = 0, kGue = 1, kGre = 2 };

/// How packets travel to a tunnel's far end.
struct Tunnel {
  TunnelType type = TunnelType::kIpip;
  bool has_checksum = false;  ///< GRE's, or that of GUE's UDP
  uint16_t port = 0;          ///< GUE: UDP destination port, host order
  friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

/// What protocol an IP header says follows.
inline constexpr uint8_t kIpv4InIp = 4, kIpv6InIp = 41, kGre = 47;

/// RFC 2784 section 2.1. With kChecksum, a checksum and two zero bytes follow.
struct GreHeader {
  be16 flags;
  be16 protocol;  ///< an ethertype
  static constexpr uint16_t kChecksum = 0x8000;
};
/// Variant 0, without optional fields.
struct GueHeader {
  uint8_t version_length;  ///< upper two bits, a flag for control messages, length of options
  uint8_t protocol;        ///< an IP protocol number
  be16 flags;
};
static_assert(sizeof(GreHeader) == 4 && alignof(GreHeader) == 1);
static_assert(sizeof(GueHeader) == 4 && alignof(GueHeader) == 1);

/// Bytes between the outer IP header and the inner one.
constexpr size_t shim_size(const Tunnel& tunnel) {
  switch (tunnel.type) {
    case TunnelType::kGue:
      return sizeof(UdpHeader) + sizeof(GueHeader);
    case TunnelType::kGre:
      return sizeof(GreHeader) + (tunnel.has_checksum ? 4 : 0);
    case TunnelType::kIpip:
      break;
  }
  return 0;
}
/// Bytes that a packet grows by where the outer packet is of this family.
constexpr size_t tunnel_overhead(const Tunnel& tunnel, Family outer) {
  return (outer == Family::kV4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header)) + shim_size(tunnel);
}
inline constexpr size_t kMostTunnelOverhead = sizeof(Ipv6Header) + 12;

/// The ends of one outer packet.
template <class Outer>
struct OuterEnds {
  typename Outer::Address source;
  typename Outer::Address destination;
  be16 source_port;  ///< GUE
  uint16_t id;       ///< of an IPv4 packet that may be fragmented; with DF it is 0
  bool may_copy_df;  ///< false: the outer packet never has DF (sysctl pmtu_disc = 0)
};

/// Writes the ethertype and the outer headers of a frame that begins at `frame` and whose inner
/// packet stands tunnel_overhead() bytes behind where an IP header has its place. It has `size`
/// bytes, not all of which need be here; `sum` is checksum_add() of them, where the tunnel has a
/// checksum. MAC addresses are the caller's to write.
template <class Outer, class Inner>
void encapsulate(uint8_t* frame, size_t size, uint32_t sum, const Tunnel& tunnel,
                 const OuterEnds<Outer>& ends);

}  // namespace shunt::net
