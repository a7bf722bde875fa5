// How long the turns of the control loop take: what one client's work makes the others wait.
//
// Only the thread's CPU time counts, not what other processes of a busy machine take. Owner: Loop.
// Callers: shuntd, which shows it on the console and counts long turns as `long_turns`.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace shunt::control {

/// What a turn may take at the most, so that every client is served within it.
inline constexpr auto kLongestTurn = std::chrono::milliseconds(50);

class TurnMeter {
 public:
  using Time = std::chrono::nanoseconds;

  void begin() { x_began = now(); }
  void end() { add(now() - x_began); }
  void add(Time turn) {
    x_longest = std::max(x_longest, turn);
    x_latest = std::max(x_latest, turn);
    if (turn > kLongestTurn) x_long++;
  }

  /// The longest turn so far, and since this was asked last.
  Time longest() const { return x_longest; }
  Time take_latest() {
    const Time latest = x_latest;
    x_latest = {};
    return latest;
  }
  /// How many turns took longer than kLongestTurn.
  uint64_t long_turns() const { return x_long; }

 private:
  static Time now() {
    timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return std::chrono::seconds(cpu.tv_sec) + Time(cpu.tv_nsec);
  }

  Time x_began{}, x_longest{}, x_latest{};
  uint64_t x_long = 0;
};

}  // namespace shunt::control
