// A list of rows, the oldest first, whose links lie in the rows themselves: appending and removing
// take the same few steps however long the list is. Rows are known by their 16-bit numbers.
#pragma once

#include <cstdint>

namespace shunt::dataplane {

struct AgeLinks {
  static constexpr uint16_t kNone = UINT16_MAX;
  uint16_t older = kNone, younger = kNone;
};

struct AgeList {
  static constexpr uint16_t kNone = AgeLinks::kNone;
  uint16_t oldest = kNone, youngest = kNone;

  /// `links(number)` returns the AgeLinks of that row for this list.
  template <class Links>
  void append(uint16_t number, Links links) {
    links(number) = {youngest, kNone};
    (youngest == kNone ? oldest : links(youngest).younger) = number;
    youngest = number;
  }
  template <class Links>
  void remove(uint16_t number, Links links) {
    const AgeLinks mine = links(number);
    (mine.older == kNone ? oldest : links(mine.older).younger) = mine.younger;
    (mine.younger == kNone ? youngest : links(mine.younger).older) = mine.older;
  }
};

}  // namespace shunt::dataplane
