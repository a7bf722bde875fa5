// An index of exact 8-byte keys in lines of the cache: four keys and, beside each, a word of 8
// bytes that most packets need nothing else than.
//
// A key lives in its home line or, if that was full, in its other line, which follows from the
// line and the key alone. Keys have 63 bits, the top ones of a line's four keys are a number: of
// the keys at home here that live elsewhere, so that a lookup goes there only if there is something
// to find. There are kMostDisplaced of them at the most; one more is refused.
//
// So a lookup looks at two lines, and an insertion at 42, whatever the keys are and whoever knows
// the secret: keys that were chosen to meet find no room for more of themselves, and others find
// theirs.
//
// One key may be there several times, with different words (the caller's hash can collide; its
// exact keys cannot). Hence every function that has to tell words apart is given a predicate.
// Owner: the table, one worker.
#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/prefetch.h"
#include "net/siphash.h"

namespace shunt::dataplane {

class FlowLines {
 public:
  static constexpr unsigned kPlaces = 4;
  /// Keys that are at home in a line and live elsewhere.
  static constexpr uint32_t kMostDisplaced = 15;

  struct alignas(64) Line {
    uint64_t keys[kPlaces];   ///< 0, the top bit apart: free
    uint64_t words[kPlaces];  ///< of the caller
  };
  static_assert(sizeof(Line) == 64);

  /// Lines to hold `entries` with at most 3.2 in each, for whoever takes the memory.
  static uint64_t lines_for(uint64_t entries) { return (entries * 5 + 15) / 16 + kLeastLines; }
  /// Over `count` zeroed lines; the hash's multipliers are drawn from `secret`.
  void use(Line* lines, uint32_t count, const net::SipKey& secret);

  /// Two multiplications by secret odd numbers (Dietzfelbinger et al., "A reliable randomized
  /// algorithm for the closest-pair problem", 1997: two keys meet in one of m lines with a chance
  /// of 2/m at the most, whatever they are), the second so that keys that count up do not lie in
  /// heaps.
  uint64_t hash(uint64_t key) const {
    uint64_t x = key * x_first;
    return (x ^ x >> 32) * x_second;
  }
  void prefetch(uint64_t hash) const { fetch_far(home_of(hash)); }
  /// For those who hash many at once.
  struct Hashing {
    Line* lines;
    uint64_t count, first, second;
  };
  Hashing hashing() const { return {x_lines, x_count, x_first, x_second}; }
  Line* home_of(uint64_t hash) const { return &x_lines[home(hash)]; }

  /// The first entry in a line of the key of which this is twice; null: there is none.
  static uint64_t* word_at(Line* line, uint64_t twice) {
    const uint32_t places = matches_twice(*line, twice);
    if (places == 0) [[unlikely]]
      return nullptr;
    return &line->words[static_cast<size_t>(std::countr_zero(uint64_t{places}))];
  }
  /// The same of a key that is not in its home.
  uint64_t* word_elsewhere(Line* home, uint64_t key) const {
    if (displaced(*home) == 0) return nullptr;
    const auto line = static_cast<uint32_t>(home - x_lines);
    return word_at(&x_lines[other(line, hash(key))], key << 1);
  }
  /// Could a key that is not in its home be elsewhere? Then that line is on its way.
  bool fetch_elsewhere(const Line* home, uint64_t key) const {
    if (displaced(*home) == 0) return false;
    fetch_far(&x_lines[other(static_cast<uint32_t>(home - x_lines), hash(key))]);
    return true;
  }
  /// The first entry of a key, whose home this is; null: there is none.
  uint64_t* first_word(Line* home, uint64_t key) const {
    uint64_t* word = word_at(home, key << 1);
    return word ? word : word_elsewhere(home, key);
  }

  /// Of the words under this key the first one of which `same` is true; null: none. Good until
  /// something is inserted or erased.
  template <class Same>
  uint64_t* find(uint64_t key, uint64_t hash, Same same) const {
    uint32_t first = home(hash);
    uint64_t* found = find_in(x_lines[first], key, same);
    if (!found && displaced(x_lines[first]) != 0)
      found = find_in(x_lines[other(first, hash)], key, same);
    return found;
  }

  /// False if there is no room in its lines, and none can be made.
  bool insert(uint64_t key, uint64_t word);
  /// Takes out the entry whose word find() gave.
  void erase(uint64_t key, const uint64_t* word);

 private:
  static constexpr uint32_t kLeastLines = 4, kNoLine = UINT32_MAX;
  static constexpr uint32_t kAllPlaces = (1u << kPlaces) - 1;
  static_assert(kMostDisplaced == kAllPlaces, "a bit of the count in each key");
  static constexpr uint64_t kTop = uint64_t{1} << 63;

  uint32_t home(uint64_t hash) const {
    return static_cast<uint32_t>(((hash >> 32) * x_count) >> 32);
  }
  /// Its own inverse.
  uint32_t other(uint32_t line, uint64_t hash) const {
    auto sum = static_cast<uint32_t>(((hash & UINT32_MAX) * x_count) >> 32);
    return sum >= line ? sum - line : sum + x_count - line;
  }

  /// A bit for each place of the line that has this key.
  static uint32_t matches(const Line& line, uint64_t key) { return matches_twice(line, key << 1); }
  static uint32_t matches_twice(const Line& line, uint64_t twice) {
#if defined(__AVX512VL__)
    const __m256i keys = _mm256_load_si256(reinterpret_cast<const __m256i*>(line.keys));
    return _mm256_cmpeq_epi64_mask(_mm256_slli_epi64(keys, 1),
                                   _mm256_set1_epi64x(static_cast<long long>(twice)));
#elif defined(__AVX2__)
    const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(twice));
    const __m256i keys = _mm256_load_si256(reinterpret_cast<const __m256i*>(line.keys));
    return static_cast<uint32_t>(_mm256_movemask_pd(
        _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_slli_epi64(keys, 1), wanted))));
#elif defined(__SSE4_1__)
    const __m128i wanted = _mm_set1_epi64x(static_cast<long long>(twice));
    const auto* at = reinterpret_cast<const __m128i*>(line.keys);
    const __m128i low = _mm_cmpeq_epi64(_mm_slli_epi64(_mm_load_si128(at), 1), wanted);
    const __m128i high = _mm_cmpeq_epi64(_mm_slli_epi64(_mm_load_si128(at + 1), 1), wanted);
    return static_cast<uint32_t>(_mm_movemask_ps(_mm_castsi128_ps(_mm_packs_epi32(low, high))));
#else
    uint32_t places = 0;
    for (unsigned i = 0; i < kPlaces; i++) places |= uint32_t{line.keys[i] << 1 == twice} << i;
    return places;
#endif
  }
  static uint32_t displaced(const Line& line) {
#ifdef __AVX__
    return static_cast<uint32_t>(
        _mm256_movemask_pd(_mm256_load_pd(reinterpret_cast<const double*>(line.keys))));
#else
    uint32_t number = 0;
    for (unsigned i = 0; i < kPlaces; i++) number |= static_cast<uint32_t>(line.keys[i] >> 63) << i;
    return number;
#endif
  }
  static void set_displaced(Line& line, uint32_t number) {
    for (unsigned i = 0; i < kPlaces; i++)
      line.keys[i] = (line.keys[i] & ~kTop) | uint64_t{number >> i & 1} << 63;
  }
  static void one_more_displaced(Line& line) {
    set_displaced(line, displaced(line) + 1);
  }
  static void one_less_displaced(Line& line) {
    set_displaced(line, displaced(line) - 1);
  }

  template <class Same>
  static uint64_t* find_in(Line& line, uint64_t key, Same same) {
    for (uint32_t places = matches(line, key); places != 0; places &= places - 1) {
      uint64_t* word = &line.words[std::countr_zero(places)];
      if (same(*word)) return word;
    }
    return nullptr;
  }

  static uint64_t key_at(const Line& line, unsigned place) {
    return line.keys[place] & ~kTop;
  }
  static void clear(Line& line, unsigned place) {
    line.keys[place] &= kTop;
  }
  static bool put(Line& line, uint64_t key, uint64_t word);
  bool has_room(uint32_t line) const {
    return matches(x_lines[line], 0) != 0;
  }
  uint32_t room_of(uint32_t line, unsigned place) const;
  bool make_room(uint32_t line);
  void move(uint32_t from, unsigned place, uint32_t to);

  Line* x_lines = nullptr;
  uint32_t x_count = 0;
  uint64_t x_first = 1, x_second = 1;
};

}  // namespace shunt::dataplane
