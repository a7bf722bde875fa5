// An array of zeros whose memory exists only where it was touched: for what is bounded by much and
// mostly little. Owned by who has it; indexed without a check.
#pragma once

#include <cstddef>
#include <type_traits>

namespace shunt::dataplane {

/// Pages of zeros; throws std::bad_alloc if there are no addresses left for them.
void* map_untouched(size_t bytes);
void unmap_untouched(void* pages, size_t bytes);

template <class T>
class Untouched {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Untouched(size_t n)
      : x_bytes(n * sizeof(T)), x_rows(static_cast<T*>(map_untouched(x_bytes))) {}
  ~Untouched() { unmap_untouched(x_rows, x_bytes); }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;

  T& operator[](size_t i) { return x_rows[i]; }
  const T& operator[](size_t i) const { return x_rows[i]; }

 private:
  size_t x_bytes;
  T* x_rows;
};

}  // namespace shunt::dataplane
