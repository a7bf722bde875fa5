// The time that a worker's turns are told: CLOCK_MONOTONIC, read before each turn while there is
// nothing to do, and before every eighth while turns find packets. Busy turns take microseconds,
// and nothing a worker does at its time is told finer than a millisecond.
//
// Of a worker's thread.
#pragma once

#include <time.h>

#include <cstdint>

namespace shunt::dataplane {

class TurnClock {
 public:
  /// Nanoseconds, before a turn; `was_busy`: the last one found packets.
  uint64_t operator()(bool was_busy) {
    if (was_busy && ++x_old < kOldest) return x_now;
    x_old = 0;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return x_now = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
                   static_cast<uint64_t>(now.tv_nsec);
  }

 private:
  static constexpr unsigned kOldest = 8;
  uint64_t x_now = 0;
  unsigned x_old = 0;
};

}  // namespace shunt::dataplane
