// What fuzzing of the packet path begins with: one well-formed frame of every kind that parse()
// knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shunt::net {

const std::vector<std::vector<uint8_t>>& seed_frames();

/// Makes the IPv4 header checksum right if the frame holds such a header, so that a mutated frame
/// comes further than the test of it.
void repair_checksum(uint8_t* frame, size_t size);

}  // namespace shunt::net
