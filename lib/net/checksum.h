// Internet checksums: whole (RFC 1071) and incremental (RFC 1624).
//
// Partial sums are 32-bit ones'-complement sums of 16-bit words in memory order (be16::raw), so no
// byte is ever swapped. Called by the rest of net/ and by who else makes headers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "net/family.h"

namespace shunt::net {

/// Ones'-complement sum of `size` bytes added to `sum`; not folded. Only the last of several pieces
/// may have an odd size: its last byte counts as the first of a word.
uint32_t checksum_add(const void* data, size_t size, uint32_t sum = 0);

/// Folds to 16 bits, end-around carries included. 0 only for a sum of 0.
inline uint16_t checksum_fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum + (sum >> 16));
}

/// Folds to 16 bits and complements; in memory order, to be stored as it is.
inline uint16_t checksum_finish(uint32_t sum) {
  return static_cast<uint16_t>(~checksum_fold(sum));
}

/// Stores what checksum_finish() gave.
inline void checksum_store(be16& checksum, uint16_t raw) {
  checksum = std::bit_cast<be16>(raw);
}

/// Sum over the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1). `length` in bytes.
uint32_t pseudo_header_sum(const Ipv4& source, const Ipv4& destination, uint8_t protocol,
                           uint32_t length);
uint32_t pseudo_header_sum(const Ipv6& source, const Ipv6& destination, uint8_t protocol,
                           uint32_t length);

/// The difference that replacing bytes makes, to be applied with checksum_apply: the sum of the new
/// words plus the complements of the old ones, folded to 16 bits. `size` is even. Differences add
/// up by passing the one so far as `delta`.
uint16_t checksum_delta(const void* from, const void* to, size_t size, uint16_t delta = 0);

/// The same for one word.
inline uint16_t checksum_delta(be16 from, be16 to, uint16_t delta = 0) {
  return checksum_fold(uint32_t{delta} + to.raw() + static_cast<uint16_t>(~from.raw()));
}

/// HC' = ~(~HC + delta) (RFC 1624 equation 3), in place.
inline void checksum_apply(be16& checksum, uint16_t delta) {
  uint32_t sum = static_cast<uint16_t>(~checksum.raw()) + uint32_t{delta};
  checksum_store(checksum, checksum_finish(sum));
}

}  // namespace shunt::net
