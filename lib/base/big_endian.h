// Big-endian integers as a type of their own: byte order is only ever big on the wire, and mixing
// it with host order does not compile. There are no implicit conversions; do not add any.
//
// Storage is plain bytes, so a header made of them has alignment 1 and may lie anywhere in a frame.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace shunt {

template <class T>
class BigEndian {
 public:
  BigEndian() = default;
  explicit BigEndian(T host) { set(host); }

  T host() const {
    T raw = this->raw();
    return swap(raw);
  }
  void set(T host) {
    T raw = swap(host);
    std::memcpy(x_bytes, &raw, sizeof raw);
  }
  /// The bytes as they lie on the wire, read as a host integer (for checksums, which are byte-order
  /// independent, RFC 1071 section 2, and for hashing).
  T raw() const {
    T raw;
    std::memcpy(&raw, x_bytes, sizeof raw);
    return raw;
  }
  friend bool operator==(const BigEndian&, const BigEndian&) = default;

 private:
  static T swap(T v) {  // there and back
    if constexpr (std::endian::native == std::endian::big) return v;
    if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(v));
    if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(v));
    if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(v));
  }
  unsigned char x_bytes[sizeof(T)];
};

using be16 = BigEndian<uint16_t>;
using be32 = BigEndian<uint32_t>;

static_assert(sizeof(be16) == 2 && alignof(be16) == 1);
static_assert(sizeof(be32) == 4 && alignof(be32) == 1);

}  // namespace shunt
