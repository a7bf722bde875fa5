// Fragments that wait for the rest of their packet.
//
// As Linux has it (inet_fragment.c): a packet is whole when its bytes are there once, without a gap
// to the last fragment; any overlap ends it. Memory is bounded: where too many fragments or packets
// wait, the packet that has waited longest goes, so that a flood of first fragments displaces
// itself. rte_ip_frag's table knows neither overlaps nor an order of age, hence this one. Owned by
// one worker: all fragments of a packet come to the one that FragmentKey::hash names.
#pragma once

#include <rte_jhash.h>

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/packet.h"

namespace shunt::dataplane {

class Worker;

/// What all fragments of one packet share: under IPv6 not the protocol (RFC 791 section 3.2,
/// RFC 8200 section 4.5).
struct FragmentKey {
  std::array<uint8_t, 32> addresses{};
  uint32_t id = 0;
  uint32_t protocol_and_family = 0;

  static FragmentKey of(const Meta& m) {
    FragmentKey key;
    if (m.parsed.family == Family::kV4) {
      std::memcpy(key.addresses.data(), &m.v4.source, 4);
      std::memcpy(key.addresses.data() + 4, &m.v4.destination, 4);
    } else {
      std::memcpy(key.addresses.data(), &m.v6.source, 16);
      std::memcpy(key.addresses.data() + 16, &m.v6.destination, 16);
    }
    key.id = m.parsed.fragment_id;
    key.protocol_and_family = static_cast<uint32_t>(m.parsed.family);
    if (m.parsed.family == Family::kV4)
      key.protocol_and_family |= static_cast<uint32_t>(m.parsed.protocol) << 8;
    return key;
  }
  uint32_t hash(uint32_t seed) const { return rte_jhash(this, sizeof *this, seed); }
  friend bool operator==(const FragmentKey&, const FragmentKey&) = default;
};
static_assert(sizeof(FragmentKey) == 40);

class Reassembly {
 public:
  /// Packets that wait at the most.
  static constexpr uint16_t kMostPackets = 256;
  /// So long Linux waits for a packet's fragments (net.ipv4.ipfrag_time;
  /// nf_conntrack_frag6_timeout).
  static constexpr Nanoseconds kWaitV4 = 30'000'000'000, kWaitV6 = 60'000'000'000;

  /// `most_parts`: fragments that wait at the most.
  Reassembly(uint32_t seed, unsigned most_parts);

  /// Takes a fragment. Returns the packet if it is whole now: a chain of buffers, whose Meta says
  /// what it is; else null.
  rte_mbuf* add(Worker& worker, rte_mbuf* fragment);

  /// Gives up, of what has waited too long, as much as one turn may; answers as Linux does.
  void expire(Worker& worker);

  bool empty() const { return x_parts == 0; }
  /// Frees everything and counts nothing.
  void release();

 private:
  static constexpr uint16_t kNone = UINT16_MAX;
  static constexpr unsigned kBuckets = 512, kFamilies = 2;

  struct Waiting {
    FragmentKey key;
    Nanoseconds until = 0;
    rte_mbuf* parts = nullptr;  ///< in order; those with offset 0 still have their headers
    uint32_t had = 0;           ///< bytes that are there
    uint32_t end = 0;           ///< of all that is known of
    uint32_t first_size = 0;    ///< bytes with offset 0
    uint16_t count = 0;         ///< of parts
    uint16_t largest = 0,
             largest_df = 0;  ///< bytes of IP of the longest fragment; of those with DF
    uint16_t next = kNone;    ///< in its bucket, or among those that are free
    uint16_t older = kNone, younger = kNone;
    uint8_t ecn = 0;  ///< bit n: a fragment had ECN field n
    bool has_last = false;
  };

  /// A fragment as its header describes it.
  struct Part {
    rte_mbuf* packet;
    uint32_t offset, end;  ///< bytes of the packet's payload
    size_t payload;        ///< offset in the frame
    bool more;
  };

  static unsigned family_of(const Waiting& waiting) {
    return (waiting.key.protocol_and_family & 0xff) == static_cast<uint32_t>(Family::kV4) ? 0 : 1;
  }
  uint32_t size_of(const Waiting& waiting, const rte_mbuf* part) const;
  uint16_t find(const FragmentKey& key) const;
  uint16_t begin(Worker& worker, const FragmentKey& key);
  void forget(uint16_t number);
  void discard(Worker& worker, uint16_t number, ipvs::DropReason reason);
  void make_room(Worker& worker);
  bool fits_end(Waiting& waiting, const Part& part) const;
  enum class Place { kFree, kTaken, kOverlaps };
  Place place(const Waiting& waiting, const Part& part, rte_mbuf**& where) const;
  void insert(Worker& worker, Waiting& waiting, const Part& part, rte_mbuf** where);
  template <class F>
  rte_mbuf* join(Worker& worker, uint16_t number);

  const uint32_t x_seed;
  const unsigned x_most_parts;
  unsigned x_parts = 0;
  std::unique_ptr<Waiting[]> x_waiting;
  std::array<uint16_t, kBuckets> x_buckets;
  uint16_t x_free = 0;
  std::array<uint16_t, kFamilies> x_oldest, x_youngest;
};

}  // namespace shunt::dataplane
