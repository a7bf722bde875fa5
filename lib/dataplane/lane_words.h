// SHUNT_LANES words of 64 bits at once, in whatever the CPU has for that. Included by the files
// that are compiled for one kind of CPU each (swift.h); all is in a namespace of each file's own.
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

namespace shunt::dataplane {
namespace {

constexpr unsigned kLanes = SHUNT_LANES;
constexpr uint64_t kLow16 = 0xffff, kLow32 = 0xffff'ffff;
typedef uint64_t Words __attribute__((vector_size(SHUNT_LANES * 8)));

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
#if SHUNT_LANES == 4
  const __m256i even = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(0)), pair(2), 1),
                odd = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(1)), pair(3), 1);
  return {reinterpret_cast<Words>(_mm256_unpacklo_epi64(even, odd)),
          reinterpret_cast<Words>(_mm256_unpackhi_epi64(even, odd))};
#else
  auto four = [&](unsigned i) {
    __m512i all = _mm512_castsi128_si512(pair(i));
    all = _mm512_inserti64x2(all, pair(i + 2), 1);
    all = _mm512_inserti64x2(all, pair(i + 4), 2);
    return _mm512_inserti64x2(all, pair(i + 6), 3);
  };
  const __m512i even = four(0), odd = four(1);
  return {reinterpret_cast<Words>(_mm512_unpacklo_epi64(even, odd)),
          reinterpret_cast<Words>(_mm512_unpackhi_epi64(even, odd))};
#endif
#endif
}
inline void put(uint64_t* to, Words words) {
  std::memcpy(to, &words, sizeof words);
}
inline Words get(const uint64_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}
/// A bit for each that is all ones.
inline uint64_t bits_of(Words all_ones_or_none) {
#if SHUNT_LANES == 8
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(all_ones_or_none));
#elif SHUNT_LANES == 4
  return static_cast<uint64_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(all_ones_or_none)));
#else
  uint64_t bits = 0;
  for (unsigned i = 0; i < kLanes; i++) bits |= all_ones_or_none[i] >> 63 << i;
  return bits;
#endif
}
/// The word at a multiple of 8 bytes behind `base`, for each that is in the `mask` of all ones or
/// none; 0 for the others, of which no memory is touched.
inline Words gather(const void* base, Words index, Words mask) {
#if SHUNT_LANES == 8
  return reinterpret_cast<Words>(_mm512_mask_i64gather_epi64(
      _mm512_setzero_si512(), _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask)),
      reinterpret_cast<__m512i>(index), base, 8));
#elif SHUNT_LANES == 4
  return reinterpret_cast<Words>(_mm256_mask_i64gather_epi64(
      _mm256_setzero_si256(), static_cast<const long long*>(base), reinterpret_cast<__m256i>(index),
      reinterpret_cast<__m256i>(mask), 8));
#else
  Words words{};
  for (unsigned i = 0; i < kLanes; i++)
    if (mask[i]) words[i] = static_cast<const uint64_t*>(base)[index[i]];
  return words;
#endif
}
/// Their lower halves, multiplied.
inline Words multiply_low(Words a, Words b) {
#if SHUNT_LANES == 8
  return reinterpret_cast<Words>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif SHUNT_LANES == 4
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

}  // namespace
}  // namespace shunt::dataplane
