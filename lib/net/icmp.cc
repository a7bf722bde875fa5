#include "net/icmp.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"

namespace shunt::net {
namespace {

constexpr uint8_t kHopLimit = 64;

/// A packet from `source` to `destination` that may be answered by an error: RFC 1122 section 3.2.2
/// (the source is one host: not zero, loopback, multicast, class E or broadcast; the destination is
/// not multicast or broadcast).
bool may_answer(const Ipv4& source, const Ipv4& destination) {
  const uint8_t first = source.bytes[0];
  return first != 0 && first != 127 && first < 224 && destination.bytes[0] < 224;
}

/// RFC 4443 section 2.4(e).
bool may_answer(const Ipv6& source, const Ipv6& destination) {
  return source != Ipv6{} && source.bytes[0] != 0xff && destination.bytes[0] != 0xff;
}

/// ICMP messages that are errors themselves (and redirects), or too short to tell.
template <class F>
bool is_icmp_error(const uint8_t* frame, const Parsed& parsed) {
  if (parsed.protocol != F::kIcmpProtocol) return false;
  if (parsed.l4_offset >= parsed.ip_end) return true;
  const uint8_t type = frame[parsed.l4_offset];
  if constexpr (F::family == Family::kV4)
    return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  else
    return type < 128 || type == 137;
}

template <class F>
bool may_answer(const uint8_t* frame, const Parsed& parsed) {
  if (parsed.kind == Kind::kBad || parsed.ether_type != F::kEtherType) return false;
  if (parsed.fragment_offset != 0 || is_icmp_error<F>(frame, parsed)) return false;
  if (header_at<EthernetHeader>(frame, 0).destination.is_multicast()) return false;
  const auto& ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  return may_answer(ip.source, ip.destination);
}

/// Fills the header of a packet to the sender of `about` with `size` bytes after it; returns what
/// ICMP's checksum begins with.
uint32_t write_header(Ipv4Header& ip, const Ipv4& source, const Ipv4Header& about, size_t size,
                      uint16_t id) {
  constexpr uint8_t kInternetworkControl = 0xc0, kTypeOfService = 0x1e;
  const Ipv4 destination = about.source;
  ip = {};
  ip.version_ihl = 0x45;
  // The type of service of the packet, and a precedence (RFC 1812 section 4.3.2.5).
  ip.tos = kInternetworkControl | (about.tos & kTypeOfService);
  ip.total_length.set(static_cast<uint16_t>(sizeof ip + size));
  ip.id.set(id);
  ip.ttl = kHopLimit;
  ip.protocol = kIcmp;
  ip.source = source;
  ip.destination = destination;
  checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, sizeof ip)));
  return 0;
}

uint32_t write_header(Ipv6Header& ip, const Ipv6& source, const Ipv6Header& about, size_t size,
                      uint16_t) {
  const Ipv6 destination = about.source;
  ip.version_class_flow.set(0x60000000);
  ip.payload_length.set(static_cast<uint16_t>(size));
  ip.next_header = kIcmpv6;
  ip.hop_limit = kHopLimit;
  ip.source = source;
  ip.destination = destination;
  return pseudo_header_sum(source, destination, kIcmpv6, static_cast<uint32_t>(size));
}

}  // namespace

template <class F>
IcmpMessage icmp_message(IcmpError what, uint32_t mtu) {
  constexpr bool v4 = F::family == Family::kV4;
  switch (what) {
    case IcmpError::kPortUnreachable:
      return v4 ? IcmpMessage{3, 3, 0} : IcmpMessage{1, 4, 0};
    case IcmpError::kHostUnreachable:
      return v4 ? IcmpMessage{3, 1, 0} : IcmpMessage{1, 3, 0};
    case IcmpError::kTimeExceeded:
      return v4 ? IcmpMessage{11, 0, 0} : IcmpMessage{3, 0, 0};
    case IcmpError::kReassemblyTime:
      return v4 ? IcmpMessage{11, 1, 0} : IcmpMessage{3, 1, 0};
    case IcmpError::kTooBig:
      break;
  }
  return v4 ? IcmpMessage{3, 4, mtu} : IcmpMessage{2, 0, mtu};
}

template <class F>
size_t icmp_error(uint8_t* out, const uint8_t* frame, const Parsed& parsed, IcmpError what,
                  const typename F::Address& source, uint16_t id, uint32_t mtu) {
  return icmp_error<F>(out, frame, parsed, icmp_message<F>(what, mtu), source, id);
}

template <class F>
size_t icmp_error(uint8_t* out, const uint8_t* frame, const Parsed& parsed,
                  const IcmpMessage& message, const typename F::Address& source, uint16_t id) {
  using Header = typename F::Header;
  constexpr size_t l3 = sizeof(EthernetHeader), l4 = l3 + sizeof(Header),
                   data = l4 + sizeof(IcmpHeader);
  if (!may_answer<F>(frame, parsed)) return 0;

  const auto& ethernet = header_at<EthernetHeader>(frame, 0);
  header_at<EthernetHeader>(out, 0) = {ethernet.source, ethernet.destination, be16(F::kEtherType)};

  const size_t quoted =
      std::min<size_t>(parsed.ip_end - parsed.l3_offset, kMaxIcmpErrorFrame<F> - data);
  std::memcpy(out + data, frame + parsed.l3_offset, quoted);

  const size_t icmp_size = sizeof(IcmpHeader) + quoted;
  const auto& about = header_at<Header>(frame, parsed.l3_offset);
  const uint32_t sum = write_header(header_at<Header>(out, l3), source, about, icmp_size, id);
  auto& icmp = header_at<IcmpHeader>(out, l4);
  icmp = {message.type, message.code, be16(0), be32(message.rest)};
  checksum_store(icmp.checksum, checksum_finish(checksum_add(&icmp, icmp_size, sum)));
  return l4 + icmp_size;
}

template IcmpMessage icmp_message<V4>(IcmpError, uint32_t);
template IcmpMessage icmp_message<V6>(IcmpError, uint32_t);
template size_t icmp_error<V4>(uint8_t*, const uint8_t*, const Parsed&, IcmpError, const Ipv4&,
                               uint16_t, uint32_t);
template size_t icmp_error<V6>(uint8_t*, const uint8_t*, const Parsed&, IcmpError, const Ipv6&,
                               uint16_t, uint32_t);
template size_t icmp_error<V4>(uint8_t*, const uint8_t*, const Parsed&, const IcmpMessage&,
                               const Ipv4&, uint16_t);
template size_t icmp_error<V6>(uint8_t*, const uint8_t*, const Parsed&, const IcmpMessage&,
                               const Ipv6&, uint16_t);

}  // namespace shunt::net
