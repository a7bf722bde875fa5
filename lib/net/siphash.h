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
class SipState {
 public:
  explicit SipState(const SipKey& key)
      : v0(key.first ^ 0x736f6d6570736575),
        v1(key.second ^ 0x646f72616e646f6d),
        v2(key.first ^ 0x6c7967656e657261),
        v3(key.second ^ 0x7465646279746573) {}

  void take(uint64_t word) {
    v3 ^= word;
    rounds(C);
    v0 ^= word;
  }
  uint64_t result() {
    v2 ^= 0xff;
    rounds(D);
    return v0 ^ v1 ^ v2 ^ v3;
  }

 private:
  void rounds(int n) {
    for (int i = 0; i < n; i++) {
      v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
      v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
      v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
    }
  }
  uint64_t v0, v1, v2, v3;
};

template <int C, int D>
uint64_t siphash(const void* data, size_t size, const SipKey& key) {
  SipState<C, D> state(key);
  const auto* p = static_cast<const uint8_t*>(data);
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    state.take(word);
  }
  for (size_t i = 0; i < size; i++) last |= static_cast<uint64_t>(p[i]) << (8 * i);
  state.take(last);
  return state.result();
}
template <int C, int D>
uint64_t siphash(const void* data, size_t size, uint64_t key0, uint64_t key1) {
  return siphash<C, D>(data, size, SipKey{key0, key1});
}

/// The same of a message that is already in words: the last one holds its last 0 to 7 bytes, and
/// in its highest byte the message's size.
template <int C, int D, class... Word>
uint64_t siphash_of_words(const SipKey& key, Word... words) {
  SipState<C, D> state(key);
  (state.take(words), ...);
  return state.result();
}

}  // namespace shunt::net
