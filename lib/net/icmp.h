// ICMP errors the appliance makes itself. Called by the dataplane with frames that parse() has just
// described; nothing but `out` is written.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/parse.h"

namespace shunt::net {

enum class IcmpError : uint8_t {
  kPortUnreachable,  ///< v4 3/3, v6 1/4: no server for a service
  kHostUnreachable,  ///< v4 3/1, v6 1/3: no route to the server
  kTimeExceeded,     ///< v4 11/0, v6 3/0
  kReassemblyTime,   ///< v4 11/1, v6 3/1: fragments of a packet did not come in time
  kTooBig,           ///< v4 3/4 with the MTU, v6 2/0 with the MTU
};

/// Any error by its numbers; `rest` are the four bytes behind the checksum.
struct IcmpMessage {
  uint8_t type, code;
  uint32_t rest;
};

/// Longest frame icmp_error() writes: Ethernet header and IP_packet of 576 bytes (RFC 1812 section
/// 4.3.2.3) or 1280 (RFC 4443 section 2.4(c)).
template <class F>
inline constexpr size_t kMaxIcmpErrorFrame = F::family == Family::kV4 ? 14 + 576 : 14 + 1280;

/// The message that such an error is.
template <class F>
IcmpMessage icmp_message(IcmpError what, uint32_t mtu = 0);

/// Writes a whole frame to `out` (kMaxIcmpErrorFrame<F> bytes) that answers `frame`: to its
/// sender's address and MAC, from `source` and the frame's destination MAC. Linux's form: IPv4 ToS
/// 0xc0, TTL 64, DF unset, `id`; IPv6 traffic class 0, hop limit 64. Returns the frame's size in
/// bytes, or 0 where no error may be sent (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e): about
/// ICMP errors, non-first fragments, multicast or broadcast, an unspecified source).
template <class F>
size_t icmp_error(uint8_t* out, const uint8_t* frame, const Parsed& parsed, IcmpError what,
                  const typename F::Address& source, uint16_t id, uint32_t mtu = 0);
/// The same, with a message of any kind.
template <class F>
size_t icmp_error(uint8_t* out, const uint8_t* frame, const Parsed& parsed,
                  const IcmpMessage& message, const typename F::Address& source, uint16_t id);

}  // namespace shunt::net
