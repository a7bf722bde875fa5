#include "net/parse.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"

namespace shunt::net {
namespace {

constexpr size_t kMinTcp = sizeof(TcpHeader);  // data offset is not looked at, nor does Linux
constexpr size_t kMinUdp = sizeof(UdpHeader);
constexpr size_t kMinSctp = sizeof(SctpHeader);  // a chunk is not asked for, nor does Linux
/// What an ICMP error quotes of the transport header at least (RFC 792).
constexpr size_t kMinQuoted = 8;
constexpr size_t kMaxFrame = 65535;

void fail(Parsed& parsed, Bad bad) {
  parsed.kind = Kind::kBad;
  parsed.bad = bad;
}

/// 0 for protocols that are not balanced.
size_t min_transport_header(uint8_t protocol) {
  return protocol == kTcp ? kMinTcp : protocol == kUdp ? kMinUdp : protocol == kSctp ? kMinSctp : 0;
}

/// TCP, UDP and SCTP have their ports at the same place.
template <class F>
void take_ports(Tuple<F>& tuple, const uint8_t* transport) {
  const auto& udp = header_at<UdpHeader>(transport, 0);
  tuple.source_port = udp.source_port;
  tuple.destination_port = udp.destination_port;
}

template <class F>
Tuple<F> addresses_of(const typename F::Header& ip, uint8_t protocol) {
  return {ip.source, ip.destination, be16(0), be16(0), protocol, {}};
}

/// 0 if the header is as it was sent (RFC 1071 section 1). The usual one has no options.
uint16_t header_checksum(const Ipv4Header& ip) {
  if (ip.header_length() != sizeof ip)
    return checksum_finish(checksum_add(&ip, ip.header_length()));
  uint32_t words[5];
  std::memcpy(words, &ip, sizeof words);
  uint64_t sum = uint64_t{words[0]} + words[1] + words[2] + words[3] + words[4];
  sum = (sum & 0xffffffff) + (sum >> 32);
  return checksum_finish(checksum_fold(static_cast<uint32_t>(sum + (sum >> 32))));
}

/// IPv6 extension headers (RFC 8200 section 4; authentication: RFC 4302 section 2).
constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragmentHeader = 44, kAuthentication = 51,
                  kDestinationOptions = 60;

struct FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  be16 offset_more;  ///< offset in bytes with the lowest three bits masked; bit 0: more follow
  be32 id;
};

/// What stands behind the extension headers.
struct Transport {
  bool found;  ///< false: the headers are too many or cut short
  uint8_t protocol;
  size_t offset;
  const FragmentHeader* fragment;  ///< null if there was none
  size_t fragment_offset() const { return fragment ? fragment->offset_more.host() & 0xfff8 : 0; }
};

/// Walks from `offset` (of a header of type `next`) and stops at what is not an extension header,
/// or behind the fragment header of a fragment that is not the first. Reads nothing from `end` on.
Transport find_transport(const uint8_t* frame, size_t offset, size_t end, uint8_t next) {
  Transport at{false, next, offset, nullptr};
  for (int looked_through = 0;; looked_through++) {
    const uint8_t type = at.protocol;
    if (type != kHopByHop && type != kRouting && type != kFragmentHeader &&
        type != kAuthentication && type != kDestinationOptions) {
      at.found = true;
      return at;
    }
    if (looked_through == kMaxExtensions || end - at.offset < 8) return at;
    const uint8_t* header = frame + at.offset;
    size_t length = 8;
    if (type == kFragmentHeader) {
      if (at.fragment) return at;
      at.fragment = &header_at<FragmentHeader>(header, 0);
    } else if (type == kAuthentication) {
      length = (header[1] + size_t{2}) * 4;
    } else {
      length = (header[1] + size_t{1}) * 8;
    }
    if (end - at.offset < length) return at;
    at.protocol = header[0];
    at.offset += length;
    if (at.fragment_offset() != 0) {
      at.found = true;
      return at;
    }
  }
}

/// AH and ESP; behind IPv6's AH it is the next header that counts.
template <class F>
bool is_ipsec(uint8_t protocol) {
  return protocol == kEsp || (F::family == Family::kV4 && protocol == kAh);
}

/// The flow of the key exchange that AH and ESP packets belong to.
template <class F>
void take_isakmp(Tuple<F>& tuple) {
  constexpr uint16_t kIsakmp = 500;
  tuple.protocol = kUdp;
  tuple.source_port = tuple.destination_port = be16(kIsakmp);
}

/// The errors that IPVS relates to connections (kernel net/netfilter/ipvs/ip_vs_core.c,
/// ip_vs_in_icmp and ip_vs_in_icmp_v6): under IPv6 all.
template <class F>
bool is_icmp_error(uint8_t type) {
  if constexpr (F::family == Family::kV4)
    return type == 3 || type == 4 || type == 11;  // unreachable, source quench, time exceeded
  else
    return type < 128;  // RFC 4443 section 2.1
}

/// Where the transport header of a packet quoted in `frame` from `l3` to `end` lies; `found` is
/// false if it is not there, is not IP, or the packet is a later fragment, whose bytes IPVS takes
/// for a header only under IPv4, and there not for one of AH or ESP.
Transport find_quoted(const uint8_t*, size_t l3, size_t end, const Ipv4Header& ip) {
  const size_t length = ip.header_length();
  const bool is_later = (ip.fragment.host() & Ipv4Header::kOffsetMask) != 0;
  const bool usable = ip.version() == 4 && length >= sizeof ip && length <= end - l3 &&
                      !(is_later && is_ipsec<V4>(ip.protocol));
  return {usable, ip.protocol, l3 + length, nullptr};
}

Transport find_quoted(const uint8_t* frame, size_t l3, size_t end, const Ipv6Header& ip) {
  if (ip.version() != 6) return {};
  Transport at = find_transport(frame, l3 + sizeof ip, end, ip.next_header);
  if (at.fragment_offset() != 0) at.found = false;
  return at;
}

template <class F>
void look_at_icmp(const uint8_t* frame, Parsed& parsed, Tuple<F>& tuple) {
  const size_t end = parsed.ip_end;
  const size_t l3 = parsed.l4_offset + sizeof(IcmpHeader);
  if (end < l3 + sizeof(typename F::Header)) return;
  const auto& icmp = header_at<IcmpHeader>(frame, parsed.l4_offset);
  if (!is_icmp_error<F>(icmp.type)) return;
  const auto& ip = header_at<typename F::Header>(frame, l3);
  const Transport at = find_quoted(frame, l3, end, ip);
  if (!at.found) return;
  const bool ipsec = is_ipsec<F>(at.protocol);
  if (!ipsec && (min_transport_header(at.protocol) == 0 || end - at.offset < kMinQuoted)) return;
  parsed.kind = Kind::kIcmpError;
  parsed.icmp_type = icmp.type;
  parsed.icmp_code = icmp.code;
  parsed.inner_protocol = at.protocol;
  parsed.inner_l3_offset = static_cast<uint16_t>(l3);
  parsed.inner_l4_offset = static_cast<uint16_t>(at.offset);
  tuple = addresses_of<F>(ip, at.protocol);
  if (ipsec)
    take_isakmp<F>(tuple);
  else
    take_ports<F>(tuple, frame + at.offset);
}

/// The chunk that begins at `offset`; null if its header does not fit before `end`.
const SctpChunkHeader* chunk_at(const uint8_t* frame, size_t offset, size_t end) {
  if (offset > end || end - offset < sizeof(SctpChunkHeader)) return nullptr;
  return &header_at<SctpChunkHeader>(frame, offset);
}

/// The first chunk says what the packet is to its association, unless it may have company: ABORT
/// behind one that carries or confirms a cookie (RFC 9260 section 3.3.7; ip_vs_proto_sctp.c,
/// set_sctp_state).
void look_at_chunks(const uint8_t* frame, Parsed& parsed) {
  const size_t at = parsed.l4_offset + sizeof(SctpHeader), end = parsed.ip_end;
  const SctpChunkHeader* first = chunk_at(frame, at, end);
  if (!first) return;
  parsed.has_chunk = true;
  parsed.chunk_type = first->type;
  if (first->type != SctpChunkHeader::kCookieEcho && first->type != SctpChunkHeader::kCookieAck)
    return;
  const size_t length = first->length.host();
  if (length < sizeof *first) return;
  const SctpChunkHeader* second = chunk_at(frame, at + (length + 3) / 4 * 4, end);
  parsed.is_aborted = second && second->type == SctpChunkHeader::kAbort;
}

/// What the transport header, which is there, says.
template <class F>
void take_transport(const uint8_t* frame, Parsed& parsed, Tuple<F>& tuple) {
  take_ports<F>(tuple, frame + parsed.l4_offset);
  if (parsed.protocol == kTcp)
    parsed.tcp_flags = header_at<TcpHeader>(frame, parsed.l4_offset).flags;
  else if (parsed.protocol == kSctp)
    look_at_chunks(frame, parsed);
}

/// A packet that is whole, with l4_offset, ip_end and protocol known and the addresses in `tuple`.
template <class F>
void look_at_transport(const uint8_t* frame, Parsed& parsed, Tuple<F>& tuple) {
  if (parsed.protocol == F::kIcmpProtocol) return look_at_icmp<F>(frame, parsed, tuple);
  const size_t needed = min_transport_header(parsed.protocol);
  if (needed == 0) {
    if (!is_ipsec<F>(parsed.protocol)) return;
    parsed.kind = Kind::kIpsec;
    return take_isakmp<F>(tuple);
  }
  if (size_t{parsed.ip_end} - parsed.l4_offset < needed) return fail(parsed, Bad::kShortTransport);
  parsed.kind = Kind::kFlow;
  take_transport<F>(frame, parsed, tuple);
}

template <class F>
void look_at_fragment(const uint8_t* frame, Parsed& parsed, Tuple<F>& tuple) {
  parsed.kind = Kind::kFragment;
  const size_t needed = min_transport_header(parsed.protocol);
  if (parsed.fragment_offset != 0 || needed == 0) return;
  if (size_t{parsed.ip_end} - parsed.l4_offset < needed) return;
  parsed.has_ports = true;
  take_transport<F>(frame, parsed, tuple);
}

void parse_v4(const uint8_t* frame, size_t size, Parsed& parsed, Tuple<V4>& tuple) {
  const size_t l3 = parsed.l3_offset, available = size - l3;
  if (available < sizeof(Ipv4Header)) return fail(parsed, Bad::kShortIp);
  const auto& ip = header_at<Ipv4Header>(frame, l3);
  const size_t header_length = ip.header_length(), total_length = ip.total_length.host();
  if (ip.version() != 4) return fail(parsed, Bad::kShortIp);
  if (header_length < sizeof ip) return fail(parsed, Bad::kIpLength);
  if (header_length > available) return fail(parsed, Bad::kShortIp);
  if (header_checksum(ip) != 0) return fail(parsed, Bad::kIpChecksum);
  if (total_length < header_length || total_length > available) return fail(parsed, Bad::kIpLength);

  parsed.protocol = ip.protocol;
  parsed.l4_offset = static_cast<uint16_t>(l3 + header_length);
  parsed.ip_end = static_cast<uint16_t>(l3 + total_length);
  tuple = addresses_of<V4>(ip, ip.protocol);
  if (!ip.is_fragment()) return look_at_transport<V4>(frame, parsed, tuple);
  const uint16_t fragment = ip.fragment.host();
  parsed.fragment_id = ip.id.host();
  parsed.fragment_offset = static_cast<uint16_t>((fragment & Ipv4Header::kOffsetMask) * 8);
  parsed.more_fragments = fragment & Ipv4Header::kMoreFragments;
  look_at_fragment<V4>(frame, parsed, tuple);
}

void parse_v6(const uint8_t* frame, size_t size, Parsed& parsed, Tuple<V6>& tuple) {
  const size_t l3 = parsed.l3_offset, available = size - l3;
  if (available < sizeof(Ipv6Header)) return fail(parsed, Bad::kShortIp);
  const auto& ip = header_at<Ipv6Header>(frame, l3);
  if (ip.version() != 6) return fail(parsed, Bad::kShortIp);
  const size_t total_length = sizeof ip + ip.payload_length.host();
  if (total_length > available) return fail(parsed, Bad::kIpLength);

  parsed.protocol = ip.next_header;
  parsed.l4_offset = static_cast<uint16_t>(l3 + sizeof ip);
  parsed.ip_end = static_cast<uint16_t>(l3 + total_length);
  if (ip.payload_length.host() == 0 && ip.next_header == kHopByHop) {
    // A jumbogram (RFC 2675 section 2) never comes over Ethernet; without data the header that is
    // announced is missing.
    return fail(parsed, available > sizeof ip ? Bad::kIpLength : Bad::kExtensions);
  }
  const Transport at = find_transport(frame, parsed.l4_offset, parsed.ip_end, ip.next_header);
  if (!at.found) return fail(parsed, Bad::kExtensions);

  parsed.protocol = at.protocol;
  parsed.l4_offset = static_cast<uint16_t>(at.offset);
  tuple = addresses_of<V6>(ip, at.protocol);
  if (!at.fragment) return look_at_transport<V6>(frame, parsed, tuple);
  parsed.fragment_id = at.fragment->id.host();
  parsed.fragment_offset = static_cast<uint16_t>(at.fragment_offset());
  parsed.more_fragments = at.fragment->offset_more.host() & 1;
  look_at_fragment<V6>(frame, parsed, tuple);
}

}  // namespace

Parsed parse(const uint8_t* frame, size_t size, Tuple<V4>& v4, Tuple<V6>& v6) {
  Parsed parsed;
  size = std::min(size, kMaxFrame);
  if (size < sizeof(EthernetHeader)) {
    fail(parsed, Bad::kShortFrame);
    return parsed;
  }
  parsed.ether_type = header_at<EthernetHeader>(frame, 0).type.host();
  parsed.l3_offset = sizeof(EthernetHeader);
  if (parsed.ether_type == kEtherTypeIpv4) {
    parsed.family = Family::kV4;
    parse_v4(frame, size, parsed, v4);
  } else if (parsed.ether_type == kEtherTypeIpv6) {
    parsed.family = Family::kV6;
    parse_v6(frame, size, parsed, v6);
  }
  return parsed;
}

}  // namespace shunt::net
