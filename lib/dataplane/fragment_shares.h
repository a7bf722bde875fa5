// What each source of fragments has waiting, so that no source displaces the fragments of another
// before it has used up its own share.
//
// A source is an IPv4 address or an IPv6 network of 64 bits. Shares lie under a keyed hash of the
// source and have no key of their own: sources of one hash have one share together, which costs
// them room and never work. Shares are sorted into classes by how many datagrams they have (1, 2 to
// 3, 4 to 7, ...), so that one that has the most is found in a few steps.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>

#include "dataplane/age_list.h"

namespace shunt::dataplane {

class FragmentShares {
 public:
  static constexpr unsigned kShares = 4096;
  /// Unfinished datagrams of a share at the most.
  static constexpr unsigned kMostDatagrams = 64;
  /// More than a sender has under way at once that is not very busy.
  static constexpr unsigned kMany = 8;

  struct Share {
    uint16_t datagrams = 0, parts = 0;
    AgeList by_age;  ///< of its datagrams
    AgeLinks in_class;
  };

  FragmentShares() : x_shares(new Share[kShares]) {}

  static uint16_t number_of(uint64_t hash) { return static_cast<uint16_t>(hash % kShares); }
  Share& operator[](uint16_t number) { return x_shares[number]; }

  void add_datagram(uint16_t number) { change(number, +1); }
  void remove_datagram(uint16_t number) { change(number, -1); }

  /// A share that has the most datagrams, within a factor of two, if it has at least kMany; else
  /// null. Among those of its class it is the one that has been in it for the longest time.
  const Share* largest() const {
    for (unsigned at = class_of(kMostDatagrams); at >= class_of(kMany); at--)
      if (x_classes[at].oldest != AgeList::kNone) return &x_shares[x_classes[at].oldest];
    return nullptr;
  }

 private:
  void change(uint16_t number, int by) {
    Share& share = x_shares[number];
    auto links = [this](uint16_t n) -> AgeLinks& { return x_shares[n].in_class; };
    const unsigned before = class_of(share.datagrams);
    share.datagrams = static_cast<uint16_t>(share.datagrams + by);
    const unsigned after = class_of(share.datagrams);
    if (before == after) return;
    if (before != 0) x_classes[before].remove(number, links);
    if (after != 0) x_classes[after].append(number, links);
  }

  static constexpr unsigned class_of(unsigned datagrams) {
    return static_cast<unsigned>(std::bit_width(datagrams));
  }

  std::unique_ptr<Share[]> x_shares;
  AgeList x_classes[std::bit_width(kMostDatagrams) + 1];
};

}  // namespace shunt::dataplane
