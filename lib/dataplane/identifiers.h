// Numbers that packets made here carry and others see: identifications of IPv4 and IPv6. They come
// from a generator with a secret of its own, so that they tell nothing of any other secret, and a
// number seen tells nothing of the next one.
//
// Owner: one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "net/siphash.h"

namespace shunt::dataplane {

/// SipHash-2-4 in counter mode, and a permutation made of it.
class Identifiers {
 public:
  explicit Identifiers(const net::SipKey& key) : x_key(key) {}

  uint64_t random() { return hash(x_drawn++); }

  /// Of an ICMP error made here. Random: those of one destination may repeat, which matters to
  /// fragments alone, and an error is never longer than 1280 bytes.
  uint16_t of_icmp() { return static_cast<uint16_t>(random()); }

  /// Of the fragments of the next IPv6 packet that is cut here: a secret permutation of a counter,
  /// so that none comes again before all 2^32 have been used, and none can be foreseen (RFC 7739
  /// section 5.2).
  uint32_t of_fragments() { return permuted(x_cut++); }

 private:
  /// Rounds of a balanced Feistel network: four would do for few numbers (Luby, Rackoff 1988).
  static constexpr unsigned kRounds = 8;
  static constexpr uint64_t kOfPermutation = uint64_t{1} << 63;  // no count gets so far

  uint64_t hash(uint64_t message) const {
    return net::siphash<2, 4>(&message, sizeof message, x_key);
  }
  uint32_t permuted(uint32_t number) const {
    uint32_t left = number >> 16, right = number & 0xffff;
    for (uint64_t round = 0; round < kRounds; round++) {
      const auto mixed = static_cast<uint32_t>(hash(kOfPermutation | round << 32 | right) & 0xffff);
      const uint32_t next = left ^ mixed;
      left = right;
      right = next;
    }
    return left << 16 | right;
  }

  net::SipKey x_key;
  uint64_t x_drawn = 0;
  uint32_t x_cut = 0;
};

/// Identifications of outer IPv4 packets of tunnels that may be cut on their way: a counter for
/// each far end, as Linux has them (ip_idents, route.c), so that those to one far end repeat as
/// late as they can (RFC 6864 section 4.3), and say nothing of what goes to others. Far ends whose
/// hashes meet share one. All begin at random.
class TunnelIds {
 public:
  using Place = uint16_t;

  explicit TunnelIds(Identifiers& generator) : x_key{generator.random(), generator.random()} {
    for (uint16_t& id : x_next) id = static_cast<uint16_t>(generator.random());
  }
  Place place_of(const Address& far_end) const {
    return static_cast<Place>(
        net::siphash<1, 3>(far_end.bytes.data(), far_end.bytes.size(), x_key) % kPlaces);
  }
  /// The next one at a place that place_of() gave.
  uint16_t next(Place place) { return x_next[place]++; }

 private:
  static constexpr size_t kPlaces = 1024;
  net::SipKey x_key;
  std::array<uint16_t, kPlaces> x_next;
};

}  // namespace shunt::dataplane
