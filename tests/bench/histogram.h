// A log-linear histogram of nanoseconds: 32 steps in every power of two, so a value is known to 3
// %. Everything is counted, however often it is asked for.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace shunt::bench {

class Histogram {
 public:
  void add(uint64_t value, uint64_t times = 1) {
    x_counts[place_of(value)] += times;
    x_total += times;
    x_most = std::max(x_most, value);
  }

  uint64_t total() const { return x_total; }

  /// The least value that `share` of all do not exceed (to the precision of a step).
  uint64_t at(double share) const {
    auto wanted = static_cast<uint64_t>(static_cast<double>(x_total) * share);
    uint64_t seen = 0;
    for (unsigned place = 0; place < kPlaces; place++) {
      seen += x_counts[place];
      if (seen > wanted) return std::min(end_of(place), x_most);
    }
    return x_most;
  }

  nlohmann::json json() const {
    return {{"count", x_total},  {"p50", at(0.5)},      {"p90", at(0.9)}, {"p99", at(0.99)},
            {"p999", at(0.999)}, {"p9999", at(0.9999)}, {"most", x_most}};
  }

 private:
  static constexpr unsigned kStepBits = 5, kSteps = 1u << kStepBits;
  static constexpr unsigned kPlaces = (64 - kStepBits) * kSteps;

  // Below 2 * kSteps a place is a value; above, kSteps places make a power of two.
  static unsigned place_of(uint64_t value) {
    if (value < kSteps) return static_cast<unsigned>(value);
    auto power = static_cast<unsigned>(std::bit_width(value)) - 1 - kStepBits;
    return power * kSteps + static_cast<unsigned>(value >> power);
  }
  static uint64_t end_of(unsigned place) {
    if (place < 2 * kSteps) return place;
    unsigned power = place / kSteps - 1;
    return ((uint64_t{place % kSteps} + kSteps + 1) << power) - 1;
  }

  std::array<uint64_t, kPlaces> x_counts{};
  uint64_t x_total = 0, x_most = 0;
};

}  // namespace shunt::bench
