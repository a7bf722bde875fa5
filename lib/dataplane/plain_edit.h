// What is done to plain frames (plain_frame.h) on their way: net/edit.h for frames whose every
// offset is known, and with checksum deltas that are made once a session. Called by the swift and
// the express lane.
#pragma once

#include <bit>

#include "dataplane/plain_frame.h"
#include "dataplane/session.h"

namespace shunt::dataplane {

/// HC' = ~(~HC + delta) (RFC 1624 equation 3).
inline uint16_t applied(uint16_t checksum, uint16_t delta) {
  uint16_t sum;
  const bool carry = __builtin_add_overflow(static_cast<uint16_t>(~checksum), delta, &sum);
  return static_cast<uint16_t>(~(sum + carry));
}
inline void apply(uint8_t* checksum, uint16_t delta) {
  store(checksum, applied(load<uint16_t>(checksum), delta));
}
/// The same to the upper half of a word.
inline uint32_t apply_to_upper_half(uint32_t word, uint16_t delta) {
  return (word & 0xffff) | uint32_t{applied(static_cast<uint16_t>(word >> 16), delta)} << 16;
}

/// A tuple's ends with source and destination exchanged.
template <class F>
inline void store_reversed(uint8_t* to, const uint8_t* ends) {
  constexpr size_t kSize = sizeof(typename F::Address);
  if constexpr (kSize == 4) {
    store(to, std::rotl(load<uint64_t>(ends), 32));
  } else {
    struct Half {
      uint64_t words[2];
    };
    const Half first = load<Half>(ends), second = load<Half>(ends + kSize);
    store(to, second);
    store(to + kSize, first);
  }
  store(to + 2 * kSize, std::rotl(load<uint32_t>(ends + 2 * kSize), 16));
}

/// The checksum of TCP or of UDP, which has one.
template <class F>
void apply_to_transport(uint8_t* frame, uint16_t delta) {
  uint8_t* l4 = frame + PlainFrame<F>::kL4;
  if (frame[PlainFrame<F>::kProtocol] == net::kTcp)
    return apply(l4 + offsetof(net::TcpHeader, checksum), delta);
  uint8_t* checksum = l4 + offsetof(net::UdpHeader, checksum);
  apply(checksum, delta);
  if (load<uint16_t>(checksum) == 0) store<uint16_t>(checksum, 0xffff);  // RFC 768
}

/// To `ends` reversed, with the deltas of a request's translation.
template <class F>
void translate(uint8_t* frame, const uint8_t* ends, uint16_t address, uint16_t port,
               bool is_reply) {
  if (is_reply) {
    address = opposite_delta(address);
    port = opposite_delta(port);
  }
  store_reversed<F>(frame + PlainFrame<F>::kEnds, ends);
  if constexpr (PlainFrame<F>::kIsV4)
    apply(frame + PlainFrame<F>::kL3 + offsetof(net::Ipv4Header, checksum), address);
  const uint32_t delta = uint32_t{address} + port;
  apply_to_transport<F>(frame, static_cast<uint16_t>((delta & 0xffff) + (delta >> 16)));
}

/// The header checksum of IPv4 grows by what TTL loses, and is never 0xffff.
template <class F>
void lower_hop_limit(uint8_t* frame) {
  frame[PlainFrame<F>::kHopLimit]--;
  if constexpr (PlainFrame<F>::kIsV4) {
    uint8_t* checksum = frame + PlainFrame<F>::kL3 + offsetof(net::Ipv4Header, checksum);
    const uint16_t before = load<uint16_t>(checksum);
    store(checksum, static_cast<uint16_t>(before + 1 + (before >= 0xfffe)));
  }
}

}  // namespace shunt::dataplane
