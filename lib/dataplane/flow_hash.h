// The hash of flows: attackers choose the tuples, so it is keyed, and its bounds are proven.
//
// NH (RFC 4418 section 5.2; Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: Fast and Secure
// Message Authentication", theorem 4.2): two different tuples have one NH value for at most one key
// in 2^32, whatever the tuples are. NH is nearly linear, so that tuples that count up would lie in
// heaps; a keyed permutation of 64 bits (MurmurHash3's finalizer, fmix64) scatters them and, being
// one, adds no collision.
//
// Pure functions of key and tuple. Called by the session table and by the express lane, which
// hashes a tuple where it lies in the frame.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/session.h"
#include "net/family.h"
#include "net/siphash.h"

namespace shunt::dataplane {

class FlowHash {
 public:
  /// NH's key is longer than the secret: it is drawn from it by SipHash in counter mode.
  explicit FlowHash(const net::SipKey& secret) {
    for (uint64_t i = 0; i < kWords; i++) {
      const uint64_t key = net::siphash<2, 4>(&i, sizeof i, secret);
      x_keys[i / 2] |= (key & UINT32_MAX) << i % 2 * 32;
    }
    x_mask = net::siphash<2, 4>(&kWords, sizeof kWords, secret);
  }

  template <class F>
  uint64_t operator()(const net::Tuple<F>& tuple) const {
    uint32_t last;
    const auto* bytes = reinterpret_cast<const uint8_t*>(&tuple);
    std::memcpy(&last, bytes + sizeof(Ends<F>), sizeof last);
    return of<F>(bytes, last);
  }

  /// Of a tuple in pieces: addresses and ports as they stand in a packet (`ends`), and what follows
  /// them in a Tuple, read as a number: the protocol.
  template <class F>
  uint64_t of(const uint8_t* ends, uint32_t last) const {
    constexpr size_t kPairs = sizeof(net::Tuple<F>) / 8;
    static_assert(kPairs * 2 <= kWords && sizeof(Ends<F>) + 4 == sizeof(net::Tuple<F>));
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < kPairs; i++)
      sum += product(word(ends, 2 * i), word(ends, 2 * i + 1), i);
    sum += product(word(ends, 2 * kPairs - 2), last, kPairs - 1);
    return scatter(sum);
  }

  /// For those who hash many at once: the keys of each pair of words.
  struct Hashing {
    const uint64_t* keys;
    uint64_t mask, first, second;
  };
  Hashing hashing() const { return {x_keys, x_mask, kFirst, kSecond}; }

 private:
  static constexpr uint64_t kWords = 10;  // of the largest tuple
  static constexpr uint64_t kFirst = 0xff51afd7ed558ccd, kSecond = 0xc4ceb9fe1a85ec53;

  static uint32_t word(const uint8_t* bytes, size_t i) {
    uint32_t value;
    std::memcpy(&value, bytes + i * 4, sizeof value);
    return value;
  }
  uint64_t product(uint32_t a, uint32_t b, size_t i) const {
    return uint64_t{a + static_cast<uint32_t>(x_keys[i])} *
           (b + static_cast<uint32_t>(x_keys[i] >> 32));
  }
  uint64_t scatter(uint64_t sum) const {
    sum ^= x_mask;
    sum = (sum ^ sum >> 33) * kFirst;
    sum = (sum ^ sum >> 33) * kSecond;
    return sum ^ sum >> 33;
  }

  uint64_t x_keys[kWords / 2] = {};
  uint64_t x_mask;
};

}  // namespace shunt::dataplane
