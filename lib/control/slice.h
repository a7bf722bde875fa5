// How much of a request's work is done in one turn of the control loop.
#pragma once

#include <chrono>
#include <cstddef>

namespace shunt::control {

/// Commands, servers or sessions handled in one turn, and the time after which it ends anyway. One
/// step of a service with very many servers may take longer than that time.
inline constexpr size_t kSliceSteps = 1024;
inline constexpr auto kSliceTime = std::chrono::milliseconds(4);
/// Bytes of an answer after which the turn ends.
inline constexpr size_t kSliceBytes = 64 * 1024;

/// The same of what is done for nobody in particular, every few milliseconds.
inline constexpr auto kChoreTime = std::chrono::milliseconds(1);

class Slice {
 public:
  explicit Slice(std::chrono::milliseconds time = kSliceTime)
      : x_end(std::chrono::steady_clock::now() + time) {}
  /// Accounts for work that was done; false when no more shall be done in this turn.
  bool spend(size_t steps = 1) {
    x_left = x_left > steps ? x_left - steps : 0;
    return x_left != 0 && std::chrono::steady_clock::now() < x_end;
  }

 private:
  size_t x_left = kSliceSteps;
  std::chrono::steady_clock::time_point x_end;
};

}  // namespace shunt::control
