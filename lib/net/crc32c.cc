#include "net/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace shunt::net {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected

/// [k][byte]: what a byte does to the remainder with k bytes behind it.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; bit++)
      remainder = remainder >> 1 ^ (remainder & 1 ? kPolynomial : 0);
    tables[0][byte] = remainder;
  }
  for (size_t k = 1; k < tables.size(); k++)
    for (uint32_t byte = 0; byte < 256; byte++)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}

constexpr Tables kTables = make_tables();
static_assert(kTables[0][1] == 0xf26b8303);  // RFC 9260 appendix A

/// Eight bytes as a number whose lowest byte is the first.
uint64_t load(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
}

uint32_t add_byte(uint32_t crc, uint8_t byte) {
  return crc >> 8 ^ kTables[0][(crc ^ byte) & 0xff];
}

#ifdef __x86_64__
const bool kHasInstruction = __builtin_cpu_supports("sse4.2");

__attribute__((target("sse4.2"))) uint32_t by_instruction(const uint8_t* p, size_t size,
                                                          uint32_t crc) {
  uint64_t wide = crc;
  for (; size >= 8; p += 8, size -= 8) wide = _mm_crc32_u64(wide, load(p));
  crc = static_cast<uint32_t>(wide);
  for (; size; p++, size--) crc = _mm_crc32_u8(crc, *p);
  return crc;
}
#endif

}  // namespace

uint32_t crc32c_by_tables(const void* data, size_t size, uint32_t before) {
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t crc = ~before;
  for (; size >= 8; p += 8, size -= 8) {
    const uint64_t word = load(p) ^ crc;
    crc = 0;
    for (unsigned i = 0; i < 8; i++) crc ^= kTables[7 - i][word >> 8 * i & 0xff];
  }
  for (; size; p++, size--) crc = add_byte(crc, *p);
  return ~crc;
}

uint32_t crc32c(const void* data, size_t size, uint32_t before) {
#ifdef __x86_64__
  if (kHasInstruction) return ~by_instruction(static_cast<const uint8_t*>(data), size, ~before);
#endif
  return crc32c_by_tables(data, size, before);
}

}  // namespace shunt::net
