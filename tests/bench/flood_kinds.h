// The kinds of flood that are measured: frames as an outsider may send them, from strangers, none
// of a live flow. A row of the table is a name, a family and the frames.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "../flow/frames.h"
#include "base/address.h"

namespace shunt::bench {

/// One of 16 bits of a frame that differ from one round of a kind's frames to the next: they are
/// XORed with the round's random word of that number.
struct Varied {
  uint16_t offset;
  uint8_t word;
};

struct FloodFrame {
  test::Frame bytes;
  std::vector<Varied> varied;
  unsigned more_segments = 0;  ///< of so many full buffers behind the first one
};

struct FloodKind {
  const char* name;
  Family family;                      ///< of the live flows beside it
  std::vector<FloodFrame> (*make)();  ///< sent in this order, again and again
  bool begins_sessions = false;       ///< as long as there is room for any
};

std::span<const FloodKind> flood_kinds();

/// The services that they are about, beside those of the live flows.
std::string flood_rules();

}  // namespace shunt::bench
