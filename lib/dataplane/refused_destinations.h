// Destinations to which all first packets are refused whose source is nothing special (refuse.h):
// some of those that were asked about since anything changed that says so. In a flood next to all
// packets go to a few.
#pragma once

#include <cstdint>

namespace shunt::dataplane {

class RefusedDestinations {
 public:
  /// Before a burst; with another `revision` than the last one's, all are forgotten.
  void begin(uint32_t revision) {
    if (revision == x_revision) return;
    *this = {};
    x_revision = revision;
  }
  /// By FlowClasses::key_of(), which is never 0.
  bool has(uint64_t destination) const { return x_places[place_of(destination)] == destination; }
  void add(uint64_t destination) { x_places[place_of(destination)] = destination; }

 private:
  static constexpr unsigned kPlaces = 16;
  static unsigned place_of(uint64_t destination) {
    return (destination >> 8 ^ destination >> 40) % kPlaces;
  }
  uint64_t x_places[kPlaces] = {};
  uint32_t x_revision = 0;
};

}  // namespace shunt::dataplane
