// The byte operations of forwarding: translate (NAT), lower the hop limit, set MACs.
//
// All checksums are updated incrementally: what was wrong stays wrong and is forwarded, as Linux
// does. Exceptions are UDP without a checksum, which leaves NAT with a full one, and SCTP, whose
// CRC32c is made anew if a port changes and else left alone.
//
// Called by the dataplane on frames that parse() has just described; every write lies where parse()
// has found the bytes to be.
#pragma once

#include "net/parse.h"

namespace shunt::net {

/// Which end of the tuple(s) becomes what. Checksum deltas are made once per session.
template <class F>
struct Translation {
  typename F::Address source;
  typename F::Address destination;
  be16 source_port;
  be16 destination_port;
  uint16_t address_delta;  ///< checksum_delta over both addresses, old to new
  uint16_t port_delta;     ///< over both ports, old to new
};

/// The translation that turns `from` into `to`.
template <class F>
Translation<F> make_translation(const Tuple<F>& from, const Tuple<F>& to);

/// Rewrites addresses, ports and checksums of a TCP, UDP or SCTP packet (Kind::kFlow) or of a
/// fragment of one (Kind::kFragment): in a fragment with ports the same, except that UDP without a
/// checksum stays without one, since the rest of the datagram is elsewhere, and that SCTP's
/// checksum, which needs the rest, is left wrong if a port changes: the caller sees to both; in any
/// other fragment, and in Kind::kIpsec, the addresses and the IPv4 header checksum.
template <class F>
void translate(uint8_t* frame, const Parsed& parsed, const Translation<F>& translation);

/// Lowers TTL or hop limit by one; the IPv4 checksum follows. The caller has checked that it is
/// above 1.
template <class F>
void lower_hop_limit(uint8_t* frame, const Parsed& parsed);

/// An ICMP error about a translated flow (Kind::kIcmpError): the embedded packet is translated with
/// `inner`, made of the embedded tuple, which runs against the direction of the error itself; the
/// outer addresses become the ones given. Both IP headers' checksums and ICMP's own follow. The
/// embedded transport's stays as it was quoted: Linux leaves it too (ip_vs_nat_icmp, 6.1), where
/// RFC 5508 section 4.2 would have it follow.
template <class F>
void translate_icmp_error(uint8_t* frame, const Parsed& parsed, const Translation<F>& inner,
                          const typename F::Address& outer_source,
                          const typename F::Address& outer_destination);

/// Recomputes the IPv4 header checksum and, of a Kind::kFlow, the transport checksum from nothing;
/// for packets that Linux hands over with partial checksums.
void fill_checksums(uint8_t* frame, const Parsed& parsed);

/// Is the checksum of a TCP or UDP packet (Kind::kFlow) what its bytes say?
template <class F>
bool is_checksum_right(const uint8_t* frame, const Parsed& parsed);

/// Writes the length of the packet that now ends at parsed.ip_end; no checksum follows.
template <class F>
void set_length(uint8_t* frame, const Parsed& parsed);

}  // namespace shunt::net
