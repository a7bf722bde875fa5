// What a fragment of an IP packet begins with, and how long it may be (RFC 791 section 3.2, RFC
// 8200 section 4.5). Pure functions on headers; the bytes behind them are the caller's to move.
// Called by the dataplane where it cuts packets and puts them together.
#pragma once

#include "net/parse.h"

namespace shunt::net {

/// One fragment, as its header says it.
struct Fragment {
  uint16_t offset;     ///< bytes, a multiple of 8
  uint32_t size;       ///< bytes of the packet that it carries, behind the headers
  bool more;           ///< others follow
  bool dont_fragment;  ///< IPv4: a fragment that routers may not cut further
  uint32_t id;         ///< IPv6; under IPv4 the packet's own is kept
};

/// What the fragment header adds to the headers that fragments repeat.
template <class F>
inline constexpr size_t kFragmentHeader = F::family == Family::kV4 ? 0 : 8;

/// Bytes of headers, from the IP header at `l3` on, that each fragment repeats: under IPv4 the
/// header with its options, under IPv6 all that Linux puts in front of the fragment header
/// (ip6_find_1stfragopt: hop-by-hop options, routing, and destination options except those behind a
/// routing header). Looks at no byte from `end` on.
template <class F>
size_t repeated_headers(const uint8_t* frame, size_t l3, size_t end);

/// Bytes of the packet in each fragment but the last, for fragments of at most `limit` bytes of IP;
/// 0: headers of `headers` bytes leave no room.
template <class F>
size_t most_in_fragment(size_t headers, size_t limit) {
  size_t all = headers + kFragmentHeader<F>;
  return limit < all ? 0 : (limit - all) & ~size_t{7};
}

/// Writes to `out` the Ethernet header, the `headers` bytes that repeated_headers() told, and what
/// says that it is this fragment of the packet in `frame`; returns the number of bytes written.
/// Those may lie over the ones they are made of. As Linux does it: later IPv4 fragments have
/// no-operations in place of options that are not to be copied (ip_options_fragment).
template <class F>
size_t write_fragment_headers(uint8_t* out, const uint8_t* frame, size_t l3, size_t headers,
                              const Fragment& fragment);

/// Where in a fragment (Kind::kFragment) the packet's bytes begin that it carries.
template <class F>
size_t fragment_payload(const uint8_t* frame, const Parsed& parsed);

/// Makes a first fragment's headers those of the packet: no fragment header, the ECN field `ecn`,
/// under IPv4 DF as told. The frame then begins as many bytes later as it returns; lengths are not
/// right yet: see set_length().
template <class F>
size_t make_whole(uint8_t* frame, const Parsed& parsed, uint8_t ecn, bool dont_fragment);

/// Writes the length of an IP packet, header included, and IPv4's checksum.
template <class F>
void set_length(uint8_t* frame, size_t l3, size_t length);

}  // namespace shunt::net
