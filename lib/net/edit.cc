#include "net/edit.h"

#include <cstddef>

#include "net/checksum.h"
#include "net/crc32c.h"

namespace shunt::net {
namespace {

uint16_t sum_of(uint16_t delta, uint16_t other) {
  return checksum_fold(uint32_t{delta} + other);
}

/// In UDP 0 means "none": a checksum that comes out as 0 is sent as its other form (RFC 768).
void avoid_zero(be16& udp_checksum) {
  if (udp_checksum.raw() == 0) checksum_store(udp_checksum, 0xffff);
}

/// TCP, UDP and SCTP have their ports at the same place.
template <class F>
void write_ports(uint8_t* transport, const Translation<F>& translation) {
  auto& udp = header_at<UdpHeader>(transport, 0);
  udp.source_port = translation.source_port;
  udp.destination_port = translation.destination_port;
}

/// Sum over the pseudo-header and everything from the transport header on; its checksum field
/// counts as it is.
template <class F>
uint32_t transport_sum(const uint8_t* frame, const Parsed& parsed) {
  const auto& ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  const uint32_t length = uint32_t{parsed.ip_end} - parsed.l4_offset;
  return checksum_add(frame + parsed.l4_offset, length,
                      pseudo_header_sum(ip.source, ip.destination, parsed.protocol, length));
}

/// The CRC32c of an SCTP packet that is whole (RFC 9260 section 6.8).
void fill_sctp(uint8_t* frame, const Parsed& parsed) {
  auto& sctp = header_at<SctpHeader>(frame, parsed.l4_offset);
  constexpr size_t kField = offsetof(SctpHeader, checksum);
  constexpr uint8_t kZero[sizeof sctp.checksum] = {};
  uint32_t crc = crc32c(&sctp, kField);
  crc = crc32c(kZero, sizeof kZero, crc);
  const size_t rest = parsed.l4_offset + sizeof sctp;
  crc = crc32c(frame + rest, parsed.ip_end - rest, crc);
  for (uint8_t& byte : sctp.checksum) {
    byte = static_cast<uint8_t>(crc);
    crc >>= 8;
  }
}

template <class F>
void fill_transport(uint8_t* frame, const Parsed& parsed) {
  if (parsed.protocol == kSctp) return fill_sctp(frame, parsed);
  be16& checksum = parsed.protocol == kTcp ? header_at<TcpHeader>(frame, parsed.l4_offset).checksum
                                           : header_at<UdpHeader>(frame, parsed.l4_offset).checksum;
  checksum.set(0);
  checksum_store(checksum, checksum_finish(transport_sum<F>(frame, parsed)));
  if (parsed.protocol == kUdp) avoid_zero(checksum);
}

/// A packet that is whole in spite of a fragment header (RFC 6946).
bool is_atomic(const Parsed& parsed) {
  return parsed.fragment_offset == 0 && !parsed.more_fragments;
}

/// SCTP's checksum sees the ports, not the addresses. As in Linux, what keeps its ports keeps its
/// checksum too, right or wrong (ip_vs_proto_sctp.c, sctp_dnat_handler).
template <class F>
void translate_sctp(uint8_t* frame, const Parsed& parsed, const Translation<F>& translation) {
  uint8_t* transport = frame + parsed.l4_offset;
  const auto& sctp = header_at<SctpHeader>(transport, 0);
  if (sctp.source_port == translation.source_port &&
      sctp.destination_port == translation.destination_port)
    return;
  write_ports(transport, translation);
  if (is_atomic(parsed)) fill_sctp(frame, parsed);
}

/// Applies `delta` to a checksum that itself lies in ICMP's data; returns `icmp_delta` with the
/// change of the field added.
uint16_t apply_quoted(be16& checksum, uint16_t delta, uint16_t icmp_delta) {
  const be16 before = checksum;
  checksum_apply(checksum, delta);
  return checksum_delta(before, checksum, icmp_delta);
}

}  // namespace

template <class F>
Translation<F> make_translation(const Tuple<F>& from, const Tuple<F>& to) {
  constexpr size_t size = sizeof(typename F::Address);
  uint16_t addresses = checksum_delta(&from.source, &to.source, size);
  addresses = checksum_delta(&from.destination, &to.destination, size, addresses);
  uint16_t ports = checksum_delta(from.source_port, to.source_port);
  ports = checksum_delta(from.destination_port, to.destination_port, ports);
  return {to.source, to.destination, to.source_port, to.destination_port, addresses, ports};
}

template <class F>
void translate(uint8_t* frame, const Parsed& parsed, const Translation<F>& translation) {
  auto& ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  ip.source = translation.source;
  ip.destination = translation.destination;
  if constexpr (F::family == Family::kV4) checksum_apply(ip.checksum, translation.address_delta);
  if (parsed.kind == Kind::kIpsec || (parsed.kind == Kind::kFragment && !parsed.has_ports)) return;

  uint8_t* transport = frame + parsed.l4_offset;
  if (parsed.protocol == kSctp) return translate_sctp(frame, parsed, translation);
  write_ports(transport, translation);
  const uint16_t delta = sum_of(translation.address_delta, translation.port_delta);
  if (parsed.protocol == kTcp)
    return checksum_apply(header_at<TcpHeader>(transport, 0).checksum, delta);
  be16& checksum = header_at<UdpHeader>(transport, 0).checksum;
  if (checksum.raw() != 0) {
    checksum_apply(checksum, delta);
    avoid_zero(checksum);
  } else if (parsed.kind == Kind::kFlow) {
    fill_transport<F>(frame, parsed);
  }
}

template <class F>
void lower_hop_limit(uint8_t* frame, const Parsed& parsed) {
  auto& ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  if constexpr (F::family == Family::kV4) {
    // TTL and protocol are one word.
    const be16& word = header_at<be16>(frame, parsed.l3_offset + offsetof(Ipv4Header, ttl));
    const be16 before = word;
    F::hop_limit(ip)--;
    checksum_apply(ip.checksum, checksum_delta(before, word));
  } else {
    F::hop_limit(ip)--;
  }
}

template <class F>
void translate_icmp_error(uint8_t* frame, const Parsed& parsed, const Translation<F>& inner,
                          const typename F::Address& outer_source,
                          const typename F::Address& outer_destination) {
  constexpr size_t size = sizeof(typename F::Address);
  auto& outer_ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  auto& icmp = header_at<IcmpHeader>(frame, parsed.l4_offset);
  auto& inner_ip = header_at<typename F::Header>(frame, parsed.inner_l3_offset);
  uint8_t* transport = frame + parsed.inner_l4_offset;

  // ICMP's checksum sees every change of its data. All of them are whole words: headers in front of
  // them have even lengths.
  inner_ip.source = inner.source;
  inner_ip.destination = inner.destination;
  uint16_t icmp_delta = inner.address_delta;
  if (parsed.inner_protocol != kEsp && parsed.inner_protocol != kAh) {
    write_ports(transport, inner);
    icmp_delta = sum_of(icmp_delta, inner.port_delta);
  }
  if constexpr (F::family == Family::kV4)
    icmp_delta = apply_quoted(inner_ip.checksum, inner.address_delta, icmp_delta);

  uint16_t outer_delta = checksum_delta(&outer_ip.source, &outer_source, size);
  outer_delta = checksum_delta(&outer_ip.destination, &outer_destination, size, outer_delta);
  outer_ip.source = outer_source;
  outer_ip.destination = outer_destination;
  if constexpr (F::family == Family::kV4)
    checksum_apply(outer_ip.checksum, outer_delta);
  else
    icmp_delta = sum_of(icmp_delta, outer_delta);  // the pseudo-header (RFC 4443 section 2.3)
  checksum_apply(icmp.checksum, icmp_delta);
}

void fill_checksums(uint8_t* frame, const Parsed& parsed) {
  if (parsed.kind == Kind::kBad) return;
  if (parsed.ether_type == kEtherTypeIpv4) {
    auto& ip = header_at<Ipv4Header>(frame, parsed.l3_offset);
    ip.checksum.set(0);
    checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, ip.header_length())));
    if (parsed.kind == Kind::kFlow) fill_transport<V4>(frame, parsed);
  } else if (parsed.kind == Kind::kFlow) {
    fill_transport<V6>(frame, parsed);
  }
}

template <class F>
bool is_checksum_right(const uint8_t* frame, const Parsed& parsed) {
  return checksum_fold(transport_sum<F>(frame, parsed)) == 0xffff;
}

template <class F>
void set_length(uint8_t* frame, const Parsed& parsed) {
  auto& ip = header_at<typename F::Header>(frame, parsed.l3_offset);
  const auto length = static_cast<uint16_t>(parsed.ip_end - parsed.l3_offset);
  if constexpr (F::family == Family::kV4)
    ip.total_length = be16(length);
  else
    ip.payload_length = be16(static_cast<uint16_t>(length - sizeof ip));
}

template bool is_checksum_right<V4>(const uint8_t*, const Parsed&);
template bool is_checksum_right<V6>(const uint8_t*, const Parsed&);
template void set_length<V4>(uint8_t*, const Parsed&);
template void set_length<V6>(uint8_t*, const Parsed&);
template Translation<V4> make_translation<V4>(const Tuple<V4>&, const Tuple<V4>&);
template Translation<V6> make_translation<V6>(const Tuple<V6>&, const Tuple<V6>&);
template void translate<V4>(uint8_t*, const Parsed&, const Translation<V4>&);
template void translate<V6>(uint8_t*, const Parsed&, const Translation<V6>&);
template void lower_hop_limit<V4>(uint8_t*, const Parsed&);
template void lower_hop_limit<V6>(uint8_t*, const Parsed&);
template void translate_icmp_error<V4>(uint8_t*, const Parsed&, const Translation<V4>&, const Ipv4&,
                                       const Ipv4&);
template void translate_icmp_error<V6>(uint8_t*, const Parsed&, const Translation<V6>&, const Ipv6&,
                                       const Ipv6&);

}  // namespace shunt::net
