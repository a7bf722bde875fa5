// SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) with C compression and D
// finalization rounds, 64-bit result.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace shunt::net {

/// The two little-endian words of a 16-byte key.
struct SipKey {
  uint64_t first = 0, second = 0;
  friend bool operator==(const SipKey&, const SipKey&) = default;
};

template <int C, int D>
uint64_t siphash(const void* data, size_t size, uint64_t key0, uint64_t key1) {
  uint64_t v0 = key0 ^ 0x736f6d6570736575, v1 = key1 ^ 0x646f72616e646f6d;
  uint64_t v2 = key0 ^ 0x6c7967656e657261, v3 = key1 ^ 0x7465646279746573;
  auto rounds = [&](int n) {
    for (int i = 0; i < n; i++) {
      v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
      v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
      v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
    }
  };
  const auto* p = static_cast<const uint8_t*>(data);
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t m;
    std::memcpy(&m, p, 8);
    v3 ^= m, rounds(C), v0 ^= m;
  }
  for (size_t i = 0; i < size; i++) last |= static_cast<uint64_t>(p[i]) << (8 * i);
  v3 ^= last, rounds(C), v0 ^= last;
  v2 ^= 0xff, rounds(D);
  return v0 ^ v1 ^ v2 ^ v3;
}

template <int C, int D>
uint64_t siphash(const void* data, size_t size, const SipKey& key) {
  return siphash<C, D>(data, size, key.first, key.second);
}

}  // namespace shunt::net
