// How often something changed that workers keep conclusions about.
//
// Writer: control, which adds after each change. Readers: workers; whoever sees a number again sees
// nothing that is newer than what it concluded from.
#pragma once

#include <atomic>
#include <cstdint>

namespace shunt::share {

class Changes {
 public:
  void add() {
    x_count.store(x_count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  uint64_t count() const { return x_count.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> x_count{0};
};

}  // namespace shunt::share
