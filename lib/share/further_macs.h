// MAC addresses that a port takes frames for besides its own: those of Linux's macvlans on its twin
// (VRRP's virtual MAC addresses, RFC 9568 section 7.3, are such).
//
// An immutable value, published by control whenever one comes or goes. Workers have none (null)
// while no port has any, so that nothing is asked of a frame then.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "share/bounds.h"

namespace shunt::share {

class FurtherMacs {
 public:
  /// The first six bytes of a frame, or of a MAC address, as they lie in memory.
  static uint64_t word_of(const uint8_t* frame) {
    uint64_t word = 0;
    std::memcpy(&word, frame, sizeof(MacAddress));
    return word;
  }

  /// False: the port has it, or has no room for it (kMaxFurtherMacs).
  bool add(uint8_t port, const MacAddress& mac) {
    Row& row = x_rows[port];
    const uint64_t word = word_of(mac.bytes.data());
    if (row.count == kMaxFurtherMacs || has(port, word)) return false;
    const auto end = row.words.begin() + row.count;
    const auto place = std::lower_bound(row.words.begin(), end, word);
    std::move_backward(place, end, end + 1);
    *place = word;
    row.count++;
    return true;
  }
  bool has(uint8_t port, uint64_t word) const {
    const Row& row = x_rows[port];
    return std::binary_search(row.words.begin(), row.words.begin() + row.count, word);
  }

 private:
  struct Row {
    unsigned count = 0;
    std::array<uint64_t, kMaxFurtherMacs> words{};  ///< sorted
  };
  std::array<Row, kMaxPorts> x_rows{};
};

}  // namespace shunt::share
