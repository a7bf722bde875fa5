// What fuzz targets share: assertions that abort, input bytes behind which a sanitizer sees every
// access, and a reader of numbers from the input.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHUNT_POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SHUNT_POISONS
#endif

#ifdef SHUNT_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, size) ((void)(begin), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(begin, size) ((void)(begin), (void)(size))
#endif

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define MUST(condition)                                                            \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

namespace shunt::fuzz {

/// A buffer that is made once and holds one input after the other: what lies behind the input is
/// poisoned, which costs much less than memory of its own for each.
template <size_t kRoom>
class GuardedBytes {
 public:
  ~GuardedBytes() { ASAN_UNPOISON_MEMORY_REGION(x_bytes, kRoom); }

  /// Room for `size` bytes, of at most kRoom.
  uint8_t* take(size_t size) {
    ASAN_UNPOISON_MEMORY_REGION(x_bytes, kRoom);
    ASAN_POISON_MEMORY_REGION(x_bytes + size, kRoom - size);
    return x_bytes;
  }

 private:
  alignas(64) uint8_t x_bytes[kRoom];
};

/// The numbers at the front of an input; zeros behind its end.
class Numbers {
 public:
  Numbers(const uint8_t* data, size_t size) : x_at(data), x_end(data + size) {}
  size_t left() const { return static_cast<size_t>(x_end - x_at); }
  uint8_t byte() { return x_at == x_end ? 0 : *x_at++; }
  uint16_t word() {
    const unsigned high = byte();
    return static_cast<uint16_t>(high << 8 | byte());
  }
  /// So many bytes, or as many as there are.
  const uint8_t* bytes(size_t& size) {
    if (size > left()) size = left();
    const uint8_t* begin = x_at;
    x_at += size;
    return begin;
  }

 private:
  const uint8_t *x_at, *x_end;
};

}  // namespace shunt::fuzz
