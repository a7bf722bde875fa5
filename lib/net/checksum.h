// Internet checksums: whole (RFC 1071) and incremental (RFC 1624).
//
// Partial sums are 32-bit ones'-complement sums of 16-bit words in memory order (be16::raw), so no
// byte is ever swapped.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/family.h"

namespace shunt::net {

/// Ones'-complement sum of `size` bytes added to `sum`; not folded.
uint32_t checksum_add(const void* data, size_t size, uint32_t sum = 0);
/// Folds to 16 bits and complements; in memory order, to be stored as it is.
uint16_t checksum_finish(uint32_t sum);

/// Sum over the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1). `length` in bytes.
uint32_t pseudo_header_sum(const Ipv4& source, const Ipv4& destination, uint8_t protocol,
                           uint32_t length);
uint32_t pseudo_header_sum(const Ipv6& source, const Ipv6& destination, uint8_t protocol,
                           uint32_t length);

/// The difference that replacing bytes makes, to be applied with checksum_apply: the sum of the new
/// words plus the complements of the old ones, folded to 16 bits. `size` is even.
uint16_t checksum_delta(const void* from, const void* to, size_t size, uint16_t delta = 0);
/// HC' = ~(~HC + delta) (RFC 1624 equation 3), in place.
void checksum_apply(be16& checksum, uint16_t delta);

}  // namespace shunt::net
