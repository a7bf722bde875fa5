// Of a burst that is scanned, the packets of no session, in the swift lane's own compilation.
#pragma once

#include <bit>
#include <cstdint>

#include "dataplane/burst_scan.h"
#include "dataplane/prefetch.h"

namespace shunt::dataplane {
namespace {

/// Those of these packets, if `is_wanted(frame)`, whose exact keys are of no flow, or that have
/// none. Not for packets that have another key, too.
///
/// Other lines than homes are waited for in the end, all at once.
template <class IsWanted>
[[gnu::always_inline]] inline uint64_t absent(const FlowLines& lines, const Scanned& scanned,
                                              uint64_t packets, IsWanted is_wanted) {
  auto home_of = [&](size_t i) { return reinterpret_cast<Line*>(scanned.lines[i]); };
  uint64_t found = 0, elsewhere = 0;
  for (uint64_t left = packets; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    fetch_near(reinterpret_cast<const void*>(scanned.lines[i + kNearAhead]));
    if (!is_wanted(scanned.frames[i])) continue;
    const uint64_t bit = left & -left, twice = scanned.keys[i];
    if (twice != 0) {
      if (FlowLines::word_at(home_of(i), twice)) continue;
      if (lines.fetch_elsewhere(home_of(i), twice >> 1)) {
        elsewhere |= bit;
        continue;
      }
    }
    found |= bit;
  }
  for (; elsewhere != 0; elsewhere &= elsewhere - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(elsewhere));
    if (!lines.word_elsewhere(home_of(i), scanned.keys[i] >> 1)) found |= elsewhere & -elsewhere;
  }
  return found;
}

}  // namespace
}  // namespace shunt::dataplane
