// The slots that packets choose, SHUNT_LANES at once: what the schedulers maglev, mh and sh do with
// a packet of IPv4 (ipvs/schedulers), which stay the specification. Included by the files that are
// compiled for one kind of CPU each (swift.h); all is in a namespace of each file's own.
#pragma once

#include <cstdint>

#include "dataplane/lane_words.h"
#include "dataplane/picks.h"
#include "ipvs/schedulers/hash32.h"
#include "ipvs/schedulers/mh.h"

namespace shunt::dataplane {
namespace {

template <int kBits>
inline Words rotated(Words words) {
  return words << kBits | words >> (64 - kBits);
}

/// net::siphash() of messages that are these words, the last one's highest byte their length.
template <int C, int D, class... Message>
inline Words siphash(const net::SipKey& key, Message... message) {
  Words v0 = Words{} + (key.first ^ 0x736f6d6570736575),
        v1 = Words{} + (key.second ^ 0x646f72616e646f6d),
        v2 = Words{} + (key.first ^ 0x6c7967656e657261),
        v3 = Words{} + (key.second ^ 0x7465646279746573);
  auto rounds = [&](int n) {
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) {
      v0 += v1, v1 = rotated<13>(v1), v1 ^= v0, v0 = turned(v0);
      v2 += v3, v3 = rotated<16>(v3), v3 ^= v2;
      v0 += v3, v3 = rotated<21>(v3), v3 ^= v0;
      v2 += v1, v1 = rotated<17>(v1), v1 ^= v2, v2 = turned(v2);
    }
  };
  auto take = [&](Words word) { v3 ^= word, rounds(C), v0 ^= word; };
  (take(message), ...);
  v2 ^= Words{} + 0xff, rounds(D);
  return v0 ^ v1 ^ v2 ^ v3;
}

/// The rest of less than 4 * slots, which is less than 2^32.
inline Words below(Words rest, uint64_t slots) {
  const Words once = Words{} + slots, twice = once + once;
  rest -= choose(are_at_least(rest, twice), twice, Words{});
  return rest - choose(are_at_least(rest, once), once, Words{});
}

/// hash % slots, by the product with 2^64 / slots less its lowest part (Barrett): the quotient is
/// too small by 3 at the most. Only the lower half of the rest counts.
inline Words remainder(Words hash, const PickHash& by) {
  const Words low = Words{} + (by.reciprocal & kLow32), high = Words{} + (by.reciprocal >> 32);
  const Words quotient = multiply_low(hash >> 32, high) + (multiply_low(hash >> 32, low) >> 32) +
                         (multiply_low(hash, high) >> 32);
  return below((hash - multiply_low(quotient, Words{} + by.slots)) & kLow32, by.slots);
}
/// The same of 32 bits.
inline Words remainder_of_half(Words hash, const PickHash& by) {
  const Words quotient = multiply_low(hash, Words{} + (by.reciprocal >> 32)) >> 32;
  return below(hash - multiply_low(quotient, Words{} + by.slots), by.slots);
}

/// Of an address as it lies in memory, what it is.
inline Words host_order(Words address) {
  const Words pairs = (address >> 8 & 0x00ff'00ff) | (address & 0x00ff'00ff) << 8;
  return pairs >> 16 | (pairs & kLow16) << 16;
}

/// Of packets by their clients (Scanned::clients) and destinations (FlowClasses::key_of()).
inline Words slots_of(const PickHash& hash, Words client, Words destination) {
  if (hash.kind == PickHash::kMaglev) {
    // Addresses, ports, protocol. The destination's address has its halves exchanged.
    constexpr uint64_t kLength = uint64_t{13} << 56;
    const Words addresses =
        (client >> 16 & kLow32) | (destination & 0xffff'0000) << 16 | destination << 48;
    return remainder(
        siphash<2, 4>(hash.key, addresses,
                      (client & kLow16) | (destination >> 16 & 0xff'ffff'0000) | kLength),
        hash);
  }
  Words sum = host_order(client >> 16 & kLow32);
  if (hash.with_port) sum += swapped16(client);
  if (hash.kind == PickHash::kMh) {
    constexpr net::SipKey kKey{ipvs::kMhOffsetKey, ipvs::kMhOffsetKey};
    constexpr uint64_t kLength = 4;
    return remainder_of_half(siphash<1, 3>(kKey, (sum & kLow32) | kLength << 56) & kLow32, hash);
  }
  static_assert(ipvs::kHashBuckets == 256);
  return multiply_low(sum, Words{} + ipvs::kHashGoldenRatio) >> 24 & 0xff;
}

}  // namespace
}  // namespace shunt::dataplane
