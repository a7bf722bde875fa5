#include "net/encapsulate.h"

#include "net/checksum.h"

namespace shunt::net {
namespace {

constexpr size_t kL3 = sizeof(EthernetHeader);

/// What the outer header takes from the inner one.
struct Inherited {
  uint8_t tos, ttl;
  bool dont_fragment;
};

/// RFC 3168 section 9.1.1, full functionality: congestion that was met is told inside alone.
uint8_t outer_tos(uint8_t tos) {
  constexpr uint8_t kMet = 3, kEct0 = 2;
  return (tos & kMet) == kMet ? static_cast<uint8_t>((tos & ~kMet) | kEct0) : tos;
}

Inherited inherited(const Ipv4Header& ip) {
  return {outer_tos(ip.tos), ip.ttl, (ip.fragment.host() & Ipv4Header::kDontFragment) != 0};
}
Inherited inherited(const Ipv6Header& ip) {
  return {outer_tos(static_cast<uint8_t>(ip.version_class_flow.host() >> 20)), ip.hop_limit, false};
}

void write_ip(uint8_t* frame, size_t size, uint8_t protocol, const Inherited& from,
              const OuterEnds<V4>& ends) {
  auto& ip = header_at<Ipv4Header>(frame, kL3);
  const bool df = from.dont_fragment && ends.may_copy_df;
  ip = {};
  ip.version_ihl = 0x45;
  ip.tos = from.tos;
  ip.total_length.set(static_cast<uint16_t>(sizeof ip + size));
  ip.id.set(df ? uint16_t{0} : ends.id);
  ip.fragment.set(df ? Ipv4Header::kDontFragment : uint16_t{0});
  ip.ttl = from.ttl;
  ip.protocol = protocol;
  ip.source = ends.source;
  ip.destination = ends.destination;
  checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, sizeof ip)));
}

void write_ip(uint8_t* frame, size_t size, uint8_t protocol, const Inherited& from,
              const OuterEnds<V6>& ends) {
  auto& ip = header_at<Ipv6Header>(frame, kL3);
  ip.version_class_flow.set(uint32_t{6} << 28 | uint32_t{from.tos} << 20);
  ip.payload_length.set(static_cast<uint16_t>(size));
  ip.next_header = protocol;
  ip.hop_limit = from.ttl;
  ip.source = ends.source;
  ip.destination = ends.destination;
}

/// The checksum covers the header and all that follows (RFC 2784 section 2.1).
void write_gre(uint8_t* at, uint32_t sum, bool has_checksum, uint16_t ether_type) {
  header_at<GreHeader>(at, 0) = {be16(has_checksum ? GreHeader::kChecksum : uint16_t{0}),
                                 be16(ether_type)};
  if (!has_checksum) return;
  auto& checksum = header_at<be16>(at, sizeof(GreHeader));
  checksum = be16(0);
  header_at<be16>(at, sizeof(GreHeader) + sizeof checksum) = be16(0);
  checksum_store(checksum, checksum_finish(checksum_add(at, sizeof(GreHeader), sum)));
}

template <class Outer>
void write_gue(uint8_t* at, size_t size, uint32_t sum, const Tunnel& tunnel, uint8_t protocol,
               const OuterEnds<Outer>& ends) {
  auto& udp = header_at<UdpHeader>(at, 0);
  udp = {ends.source_port, be16(tunnel.port), be16(static_cast<uint16_t>(size)), be16(0)};
  header_at<GueHeader>(at, sizeof udp) = {0, protocol, be16(0)};
  if (!tunnel.has_checksum) return;
  sum = checksum_fold(sum) + checksum_fold(pseudo_header_sum(ends.source, ends.destination, kUdp,
                                                             static_cast<uint32_t>(size)));
  uint16_t checksum = checksum_finish(checksum_add(at, sizeof udp + sizeof(GueHeader), sum));
  checksum_store(udp.checksum, checksum ? checksum : uint16_t{0xffff});
}

}  // namespace

template <class Outer, class Inner>
void encapsulate(uint8_t* frame, size_t size, uint32_t sum, const Tunnel& tunnel,
                 const OuterEnds<Outer>& ends) {
  const size_t shim = shim_size(tunnel);
  uint8_t* at = frame + kL3 + sizeof(typename Outer::Header);
  const Inherited from = inherited(header_at<typename Inner::Header>(at, shim));
  uint8_t protocol = Inner::family == Family::kV4 ? kIpv4InIp : kIpv6InIp;
  size += shim;
  switch (tunnel.type) {
    case TunnelType::kIpip:
      break;
    case TunnelType::kGre:
      write_gre(at, sum, tunnel.has_checksum, Inner::kEtherType);
      protocol = kGre;
      break;
    case TunnelType::kGue:
      write_gue<Outer>(at, size, sum, tunnel, protocol, ends);
      protocol = kUdp;
      break;
  }
  write_ip(frame, size, protocol, from, ends);
  header_at<EthernetHeader>(frame, 0).type = be16(Outer::kEtherType);
}

template void encapsulate<V4, V4>(uint8_t*, size_t, uint32_t, const Tunnel&, const OuterEnds<V4>&);
template void encapsulate<V4, V6>(uint8_t*, size_t, uint32_t, const Tunnel&, const OuterEnds<V4>&);
template void encapsulate<V6, V4>(uint8_t*, size_t, uint32_t, const Tunnel&, const OuterEnds<V6>&);
template void encapsulate<V6, V6>(uint8_t*, size_t, uint32_t, const Tunnel&, const OuterEnds<V6>&);

}  // namespace shunt::net
