// Counters with one writer that anyone may read: relaxed 64-bit, never a locked instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace shunt::share {

class Counter {
 public:
  void add(uint64_t n) {
    x_value.store(x_value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void subtract(uint64_t n) { add(-n); }
  uint64_t get() const { return x_value.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> x_value{0};
};

/// What one worker counts for one server id (owner: that worker). One cache line.
struct alignas(64) ServerCounters {
  Counter active;    ///< sessions in an active state (ActiveConn)
  Counter inactive;  ///< sessions in any other state (InActConn)
  Counter connections;
  Counter in_packets;
  Counter out_packets;
  Counter in_bytes;  ///< IP lengths
  Counter out_bytes;
  Counter sessions;  ///< in the tables now; unlike active + inactive never short of one
};
static_assert(sizeof(ServerCounters) == 64);

}  // namespace shunt::share
