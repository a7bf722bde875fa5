// Counter: one writer, any number of readers; relaxed 64-bit, never a locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace shunt {

class Counter {
 public:
  void add(uint64_t n) {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    // What compilers need three instructions for: it is atomic for readers, and one writes.
    asm("addq %1, %0" : "+m"(x_value) : "er"(n));
    return;
#endif
    x_value.store(x_value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void subtract(uint64_t n) {
    add(-n);
  }
  uint64_t get() const {
    return x_value.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> x_value{0};
};

}  // namespace shunt
