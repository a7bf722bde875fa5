// The table of sh and dh: 256 buckets under Knuth's multiplicative hash (hash_32, linux/hash.h).
#pragma once

#include <cstdint>

namespace shunt::ipvs {

inline constexpr uint32_t kHashBuckets = 256;
inline constexpr uint32_t kHashGoldenRatio = 0x61C88647;

/// The bucket of a folded address and a port, `offset` buckets on.
inline uint32_t hash_bucket(uint32_t folded_address, uint16_t port, uint32_t offset) {
  return (offset + (((port + folded_address) * kHashGoldenRatio) >> 24)) % kHashBuckets;
}

}  // namespace shunt::ipvs
