// Rates in packets per second of this thread's CPU time, so that what else runs on the machine
// costs cache but not time.
#pragma once

#include <time.h>

#include <cstdint>

namespace shunt::bench {

inline uint64_t cpu_nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

/// Packets per second of CPU time that `step`, which returns how many it moved, moves in a round.
template <class Step>
double rate(unsigned milliseconds, Step step) {
  constexpr unsigned kStepsPerLook = 256;
  uint64_t packets = 0, begin = cpu_nanoseconds(), now;
  uint64_t end = begin + uint64_t{milliseconds} * 1'000'000;
  do {
    for (unsigned i = 0; i < kStepsPerLook; i++) packets += step();
    now = cpu_nanoseconds();
  } while (now < end);
  return static_cast<double>(packets) * 1e9 / static_cast<double>(now - begin);
}

}  // namespace shunt::bench
