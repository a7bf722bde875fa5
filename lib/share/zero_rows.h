// A large sparse array: rows are zero bytes, and pages exist only once one of their rows is
// touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt::share {

/// Zero pages, or std::bad_alloc.
void* map_zero_pages(size_t size);
void unmap_pages(void* pages, size_t size);

/// T is a valid value when all its bytes are zero, and needs no destruction.
template <class T>
class ZeroRows {
 public:
  explicit ZeroRows(size_t rows)
      : x_size(rows * sizeof(T)), x_rows(static_cast<T*>(map_zero_pages(x_size))) {}
  ~ZeroRows() { unmap_pages(x_rows, x_size); }
  ZeroRows(const ZeroRows&) = delete;
  ZeroRows& operator=(const ZeroRows&) = delete;

  T& operator[](uint32_t row) { return x_rows[row]; }
  const T& operator[](uint32_t row) const { return x_rows[row]; }

 private:
  size_t x_size;
  T* x_rows;
};

}  // namespace shunt::share
