// Rations a limited table by the networks of the clients that its rows are for, so that one network
// cannot take all rows.
//
// While half of the rows are free, whoever asks gets one. After that a network gets no more than
// its share, a sixteenth of all. Networks (/24 of IPv4, /48 of IPv6) are counted in kGroups groups
// by a hash; those of one group share. Nothing is searched, so the work is the same whatever the
// hash does, and it needs no key. Owner: the worker, as of the table.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "net/family.h"

namespace shunt::dataplane {

class Ration {
 public:
  static constexpr uint32_t kGroups = 1u << 12;
  static constexpr uint32_t kHalf = 2, kShare = 16;  ///< parts of all rows

  explicit Ration(uint32_t rows)
      : x_half(rows / kHalf),
        x_share(std::max(rows / kShare, 1u)),
        x_counts(std::make_unique<uint32_t[]>(kGroups)) {}

  template <class F>
  static uint16_t group_of(const typename F::Address& client) {
    constexpr size_t kNetwork = F::family == Family::kV4 ? 3 : 6;
    uint64_t network = 0;
    std::memcpy(&network, client.bytes.data(), kNetwork);
    return static_cast<uint16_t>(network * 0x9e3779b97f4a7c15 >> kShift);
  }

  /// May a client of this group have another row? Then it is counted.
  bool take(uint16_t group) {
    if (x_taken >= x_half && x_counts[group] >= x_share) return false;
    x_taken++;
    x_counts[group]++;
    return true;
  }
  void give_back(uint16_t group) {
    x_taken--;
    x_counts[group]--;
  }

 private:
  static constexpr int kShift = 52;
  static_assert(kGroups == 1u << (64 - kShift));

  uint32_t x_half, x_share, x_taken = 0;
  std::unique_ptr<uint32_t[]> x_counts;
};

}  // namespace shunt::dataplane
