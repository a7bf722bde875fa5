// What control counts of things that ran out or were lost: one table, from which the counters'
// names, the console and the alarms in the log come. (What packets were dropped for is in
// ipvs/drop_reason.h.)
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/counter.h"

namespace shunt::share {

enum class Exhaustion : uint8_t {
  kNextHops,
  kNeighbourQuestions,
  kKernelNeighbours,
  kInterfaces,
  kLongTurns,
  kFurtherMacs,
  kCount,
};

inline constexpr int kExhaustions = static_cast<int>(Exhaustion::kCount);

struct ExhaustionRow {
  std::string_view name;  ///< snake_case, the counter's name everywhere
  std::string_view what;  ///< one clause for people
  bool has_alarm = true;  ///< the log says when it begins and when it is over (control/alarms.h)
};

/// In the order of Exhaustion.
inline constexpr std::array<ExhaustionRow, kExhaustions> kExhaustionTable = {{
    {"hops_full",
     "neighbours that answer and get no row of next hops: their network has its share"},
    {"neighbour_questions", "next hops that Linux is not asked for: their network has its share"},
    {"kernel_neighbours", "questions that Linux refuses: its neighbour table is full (gc_thresh3)"},
    {"interfaces_lost", "twins and ports' interfaces that were deleted or set down", false},
    {"long_turns", "turns of the control loop of more than 50 ms of CPU time: its clients waited"},
    {"macs_full", "macvlans on a twin whose port has no room for their MAC address"},
}};

/// Writer: control.
using ExhaustionCounters = std::array<Counter, kExhaustions>;

}  // namespace shunt::share
