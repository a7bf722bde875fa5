// SHUNT_LANES words of 64 bits at once, in whatever the CPU has for that. Included by the files
// that are compiled for one kind of CPU each (swift.h); all is in a namespace of each file's own.
//
// 256 bits at the most: wider ones halve the ports that do the work, and are no faster.
#pragma once

#ifndef SHUNT_LANES
#define SHUNT_LANES 2
#endif

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/plain_frame.h"

#if SHUNT_LANES == 4 && defined(__AVX512VL__)
#define SHUNT_LANES_HAVE_MASKS 1
#else
#define SHUNT_LANES_HAVE_MASKS 0
#endif

namespace shunt::dataplane {
namespace {

constexpr unsigned kLanes = SHUNT_LANES;
constexpr uint64_t kLow16 = 0xffff, kLow32 = 0xffff'ffff;
typedef uint64_t Words __attribute__((vector_size(SHUNT_LANES * 8)));
typedef uint32_t Halves
    __attribute__((vector_size(SHUNT_LANES * 8)));  ///< each word's low one first

struct TwoWords {
  Words low, high;
};
/// 16 bytes of each of them.
inline TwoWords take(const uint8_t* const at[], size_t offset) {
#if SHUNT_LANES == 2
  TwoWords words;
  for (unsigned i = 0; i < kLanes; i++) {
    words.low[i] = load<uint64_t>(at[i] + offset);
    words.high[i] = load<uint64_t>(at[i] + offset + 8);
  }
  return words;
#else
  auto pair = [&](unsigned i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at[i] + offset));
  };
  const __m256i even = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(0)), pair(2), 1),
                odd = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(1)), pair(3), 1);
  return {reinterpret_cast<Words>(_mm256_unpacklo_epi64(even, odd)),
          reinterpret_cast<Words>(_mm256_unpackhi_epi64(even, odd))};
#endif
}
/// The same everywhere, and kept in a register by a compiler that would make it anew each time.
inline Words fixed(uint64_t word) {
  Words words = Words{} + word;
#if SHUNT_LANES_HAVE_MASKS
  asm("" : "+v"(words));
#elif defined(__x86_64__)
  asm("" : "+x"(words));
#endif
  return words;
}
inline void put(uint64_t* to, Words words) {
  std::memcpy(to, &words, sizeof words);
}
inline Words get(const uint64_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

/// Some of them.
#if SHUNT_LANES_HAVE_MASKS
typedef __mmask8 Which;
inline uint64_t bits_of(Which which) {
  return which;
}
inline Which which_of(uint64_t bits) {
  return bits & 0xf;
}
inline Which all() {
  return 0xf;
}
inline __m256i raw(Words words) {
  return reinterpret_cast<__m256i>(words);
}
inline Which are_equal(Words a, Words b, Which of = all()) {
  return _mm256_mask_cmpeq_epi64_mask(of, raw(a), raw(b));
}
inline Which are_at_least(Words a, Words b, Which of = all()) {
  return _mm256_mask_cmpge_epu64_mask(of, raw(a), raw(b));
}
/// Is any bit of these set?
inline Which have_any(Words words, Words bits, Which of = all()) {
  return _mm256_mask_test_epi64_mask(of, raw(words), raw(bits));
}
inline Which have_none(Words words, Words bits, Which of = all()) {
  return _mm256_mask_testn_epi64_mask(of, raw(words), raw(bits));
}
inline Words choose(Which which, Words these, Words others) {
  return reinterpret_cast<Words>(_mm256_mask_blend_epi64(which, raw(others), raw(these)));
}
inline Which both(Which a, Which b) {
  return a & b;
}
inline Which either(Which a, Which b) {
  return a | b;
}
inline Which but_not(Which a, Which b) {
  return a & static_cast<Which>(~b);
}
#else
typedef Words Which;  ///< all ones or none
inline uint64_t bits_of(Which which) {
#if SHUNT_LANES == 4
  return static_cast<uint64_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(which)));
#else
  uint64_t bits = 0;
  for (unsigned i = 0; i < kLanes; i++) bits |= which[i] >> 63 << i;
  return bits;
#endif
}
inline Which which_of(uint64_t bits) {
  Words each{};
  for (unsigned i = 0; i < kLanes; i++) each[i] = uint64_t{1} << i;
  return reinterpret_cast<Words>((each & bits) != 0);
}
inline Which all() {
  return ~Words{};
}
inline Which are_equal(Words a, Words b, Which of = all()) {
  return reinterpret_cast<Words>(a == b) & of;
}
inline Which are_at_least(Words a, Words b, Which of = all()) {
  // Of numbers below 2^63, as the CPU compares signed ones.
  typedef int64_t Signed __attribute__((vector_size(SHUNT_LANES * 8)));
  return reinterpret_cast<Words>(reinterpret_cast<Signed>(a) >= reinterpret_cast<Signed>(b)) & of;
}
inline Which have_any(Words words, Words bits, Which of = all()) {
  return reinterpret_cast<Words>((words & bits) != 0) & of;
}
inline Which have_none(Words words, Words bits, Which of = all()) {
  return reinterpret_cast<Words>((words & bits) == 0) & of;
}
inline Words choose(Which which, Words these, Words others) {
  return (these & which) | (others & ~which);
}
inline Which both(Which a, Which b) {
  return a & b;
}
inline Which either(Which a, Which b) {
  return a | b;
}
inline Which but_not(Which a, Which b) {
  return a & ~b;
}
#endif

/// Their lowest 16 bits with bytes exchanged.
inline Words swapped16(Words words) {
#if SHUNT_LANES == 4
  const __m256i order = _mm256_set_epi64x(
      static_cast<long long>(0x8080'8080'8080'0809), static_cast<long long>(0x8080'8080'8080'0001),
      static_cast<long long>(0x8080'8080'8080'0809), static_cast<long long>(0x8080'8080'8080'0001));
  return reinterpret_cast<Words>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(words), order));
#else
  return (words >> 8 & 0xff) | (words << 8 & 0xff00);
#endif
}
/// Each word's halves exchanged.
inline Words turned(Words words) {
#if SHUNT_LANES == 4
  return reinterpret_cast<Words>(
      _mm256_shuffle_epi32(reinterpret_cast<__m256i>(words), 0b10'11'00'01));
#else
  return words << 32 | words >> 32;
#endif
}

/// The words that stand so many bytes behind `base`, and those with the ones behind them. By loads
/// of their own, as gather instructions are four times as many steps (Zen 4).
inline Words words_at(const void* base, Words offsets) {
  uint64_t at[kLanes];
  put(at, offsets);
  Words words;
  for (unsigned i = 0; i < kLanes; i++)
    words[i] = load<uint64_t>(static_cast<const uint8_t*>(base) + at[i]);
  return words;
}
inline TwoWords pairs_at(const void* base, Words offsets) {
  uint64_t offset[kLanes];
  put(offset, offsets);
  const uint8_t* at[kLanes];
  for (unsigned i = 0; i < kLanes; i++) at[i] = static_cast<const uint8_t*>(base) + offset[i];
  return take(at, 0);
}
/// Their lower halves, multiplied.
inline Words multiply_low(Words a, Words b) {
#if SHUNT_LANES == 4
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

}  // namespace
}  // namespace shunt::dataplane
