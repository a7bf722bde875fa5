// An index from hashes to small numbers in buckets of one cache line: where the session table looks
// before it looks at a session.
//
// A bucket has ten places, each a 16-bit tag of the hash and a 32-bit value. The keys themselves
// are not here: a tag that matches says where the key may be, and the caller compares it there, in
// memory that it must touch anyway. Hence every function that has to tell keys apart is given a
// predicate on values.
//
// A key lives in its home bucket or, if that was full, in its other bucket, which follows from the
// bucket and the tag alone: entries can be moved without their keys. A bucket counts those of its
// keys that live elsewhere, so that a lookup goes there only if there is something to find. There
// are kMostDisplaced of these at the most; one more is refused.
//
// So a lookup looks at two buckets, and an insertion at 222, whatever the hashes are.
//
// Invariant: a value is at most once in the index; `displaced` of a bucket is the number of entries
// whose home it is and that are in their other bucket. Owner: the table, one worker.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstdint>

#include "dataplane/prefetch.h"

namespace shunt::dataplane {

class FlowIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  /// Values are below this.
  static constexpr uint32_t kMostValues = 1u << 31;
  static constexpr unsigned kPlaces = 10;
  /// Entries that a bucket has on average when the index is as full as it was made for.
  static constexpr unsigned kMeanEntries = 6;
  static constexpr uint32_t kMostDisplaced = 256;

  struct alignas(64) Bucket {
    uint16_t tags[kPlaces];  ///< 0: free
    uint16_t displaced;
    uint16_t zero;
    uint32_t values[kPlaces];  ///< value * 2 + (is it in its other bucket?)
  };
  static_assert(sizeof(Bucket) == 64);

  /// Buckets to hold `entries`, for whoever takes the memory.
  static uint64_t buckets_for(uint64_t entries) {
    return (entries + kMeanEntries - 1) / kMeanEntries + kLeastBuckets;
  }
  /// Over `count` zeroed buckets.
  void use(Bucket* buckets, uint32_t count) {
    x_buckets = buckets;
    x_count = count;
  }

  const Bucket& home_of(uint64_t hash) const { return x_buckets[home(hash)]; }
  /// Where an entry of `home` with this hash is, if not there.
  const Bucket& other_of(uint64_t hash) const { return x_buckets[other(home(hash), tag(hash))]; }
  void prefetch(uint64_t hash) const { fetch_far(&home_of(hash)); }

  /// A bit for each place of the bucket that has this hash's tag.
  static uint32_t matches(const Bucket& bucket, uint64_t hash) { return with(bucket, tag(hash)); }
  static uint32_t value_at(const Bucket& bucket, uint32_t place) {
    return bucket.values[place] >> 1;
  }

  /// The first value under this hash of which `same` is true.
  template <class Same>
  uint32_t find(uint64_t hash, Same same) const {
    const Bucket& bucket = home_of(hash);
    uint32_t found = find_in(bucket, tag(hash), same);
    if (found == kNone && bucket.displaced != 0) found = find_in(other_of(hash), tag(hash), same);
    return found;
  }

  /// False if there is no room in its buckets, and none can be made. The caller knows that the key
  /// is not there.
  bool insert(uint64_t hash, uint32_t value);
  /// The value must be there, under this hash.
  void erase(uint64_t hash, uint32_t value);
  /// `value`, which is not there, takes the place of `former`, which is, under the same hash.
  void replace(uint64_t hash, uint32_t former, uint32_t value);

 private:
  static constexpr uint32_t kLeastBuckets = 4, kNoBucket = UINT32_MAX;
  static constexpr uint32_t kAllPlaces = (1u << kPlaces) - 1;

  uint32_t home(uint64_t hash) const {
    return static_cast<uint32_t>(((hash >> 32) * x_count) >> 32);
  }
  static uint16_t tag(uint64_t hash) {
    auto tag = static_cast<uint16_t>(hash);
    return tag == 0 ? 1 : tag;
  }
  /// Its own inverse.
  uint32_t other(uint32_t bucket, uint16_t tag) const {
    auto sum = static_cast<uint32_t>((uint64_t{tag} * x_count) >> 16);
    return sum >= bucket ? sum - bucket : sum + x_count - bucket;
  }

  static uint32_t with(const Bucket& bucket, uint16_t tag) {
#ifdef __SSE2__
    const auto* at = reinterpret_cast<const __m128i*>(&bucket);
    const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
    const __m128i first = _mm_cmpeq_epi16(_mm_load_si128(at), wanted);
    const __m128i second = _mm_cmpeq_epi16(_mm_load_si128(at + 1), wanted);
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(first, second))) & kAllPlaces;
#else
    uint32_t places = 0;
    for (unsigned i = 0; i < kPlaces; i++) places |= uint32_t{bucket.tags[i] == tag} << i;
    return places;
#endif
  }

  template <class Same>
  static uint32_t find_in(const Bucket& bucket, uint16_t tag, Same same) {
    for (uint32_t places = with(bucket, tag); places != 0; places &= places - 1) {
      uint32_t value = value_at(bucket, static_cast<uint32_t>(std::countr_zero(places)));
      if (same(value)) return value;
    }
    return kNone;
  }

  bool put(uint32_t bucket, uint16_t tag, uint32_t value, bool is_displaced);
  bool has_room(uint32_t bucket) const {
    return with(x_buckets[bucket], 0) != 0;
  }
  uint32_t room_of(uint32_t bucket, uint32_t place) const;
  bool make_room(uint32_t bucket);
  void move(uint32_t from, uint32_t place, uint32_t to);
  bool take_out(uint32_t bucket, uint16_t tag, uint32_t entry);
  bool rename(uint32_t bucket, uint16_t tag, uint32_t entry, uint32_t value);

  Bucket* x_buckets = nullptr;
  uint32_t x_count = 0;
};

}  // namespace shunt::dataplane
