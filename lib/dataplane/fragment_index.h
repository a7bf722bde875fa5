// Unfinished datagrams by the hash of their FragmentKey. Every bucket has a fixed number of places,
// so that a lookup compares at most kWays rows even for one who knows the key of the hash; where a
// bucket is full, the caller gives up its oldest row.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

namespace shunt::dataplane {

class FragmentIndex {
 public:
  static constexpr unsigned kBuckets = 1024, kWays = 8;
  static constexpr uint16_t kNone = UINT16_MAX;

  FragmentIndex() : x_buckets(new Bucket[kBuckets]) {}

  /// The row of this hash for which is_it(number) holds, or kNone.
  template <class IsIt>
  uint16_t find(uint32_t hash, IsIt is_it) const {
    const Bucket& bucket = x_buckets[hash % kBuckets];
    for (unsigned i = 0; i < bucket.count; i++)
      if (bucket.tags[i] == tag(hash) && is_it(bucket.numbers[i])) return bucket.numbers[i];
    return kNone;
  }

  /// The row that must go before another of this hash can come, or kNone.
  uint16_t in_the_way(uint32_t hash) const {
    const Bucket& bucket = x_buckets[hash % kBuckets];
    return bucket.count == kWays ? bucket.numbers[0] : kNone;
  }

  /// Nothing is in the way.
  void add(uint32_t hash, uint16_t number) {
    Bucket& bucket = x_buckets[hash % kBuckets];
    bucket.tags[bucket.count] = tag(hash);
    bucket.numbers[bucket.count++] = number;
  }

  void remove(uint32_t hash, uint16_t number) {
    Bucket& bucket = x_buckets[hash % kBuckets];
    unsigned at = 0;
    while (bucket.numbers[at] != number) at++;
    bucket.count--;
    for (; at < bucket.count; at++) {
      bucket.tags[at] = bucket.tags[at + 1];
      bucket.numbers[at] = bucket.numbers[at + 1];
    }
  }

 private:
  /// The oldest row comes first.
  struct Bucket {
    uint16_t count = 0;
    std::array<uint16_t, kWays> tags, numbers;
  };
  static uint16_t tag(uint32_t hash) { return static_cast<uint16_t>(hash >> 16); }

  std::unique_ptr<Bucket[]> x_buckets;
};

}  // namespace shunt::dataplane
