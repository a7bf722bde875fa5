#include "dataplane/untouched.h"

#include <sys/mman.h>

#include <new>

namespace shunt::dataplane {

void* map_untouched(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  madvise(pages, bytes, MADV_NOHUGEPAGE);  // few rows shall touch few and small pages
  return pages;
}

void unmap_untouched(void* pages, size_t bytes) {
  munmap(pages, bytes);
}

}  // namespace shunt::dataplane
