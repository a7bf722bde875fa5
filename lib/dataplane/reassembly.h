// Fragments that wait for the rest of their datagram.
//
// As in Linux (inet_fragment.c), a datagram is whole when its bytes are there once, without a gap
// to the last fragment; a duplicate is dropped alone, any other overlap ends the datagram (RFC
// 5722). Senders of fragments are not trusted, so everything is bounded, whatever comes in which
// order: the work of one fragment (FragmentRuns, FragmentIndex), the pieces of a datagram, what one
// source may have waiting (FragmentShares), and what all together may. Where a limit is reached,
// the oldest datagram of the one who reached it is given up. docs/security.md lists the limits.
//
// Owned by one worker: all fragments of a datagram come to the one that FragmentKey::hash names.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/fragment_index.h"
#include "dataplane/fragment_runs.h"
#include "dataplane/fragment_shares.h"
#include "dataplane/packet.h"
#include "dataplane/untouched.h"
#include "net/siphash.h"

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
  uint64_t hash(const net::SipKey& key) const {
    return net::siphash<1, 3>(this, sizeof *this, key);
  }
  friend bool operator==(const FragmentKey&, const FragmentKey&) = default;
};
static_assert(sizeof(FragmentKey) == 40);

class Reassembly {
 public:
  /// Fragments of one datagram at the most: as many as links of IPv4's smallest MTU for hosts, 576
  /// bytes, make of 65,535 (119), and more than links of IPv6's, 1,280 bytes, do (54).
  static constexpr unsigned kMostPieces = FragmentRuns::kMost;
  /// Fragments and unfinished datagrams that wait at the most.
  static constexpr unsigned kMostParts = 1024;
  /// So long Linux waits for a packet's fragments (net.ipv4.ipfrag_time;
  /// nf_conntrack_frag6_timeout).
  static constexpr Nanoseconds kWaitV4 = 30'000'000'000, kWaitV6 = 60'000'000'000;
  /// expire() ends for this turn once it has given up so many fragments.
  static constexpr unsigned kExpirePerTurn = 64;

  /// `most_parts`: fragments that wait at the most, if less than kMostParts. A source may have a
  /// quarter of them, or one datagram.
  Reassembly(const net::SipKey& key, unsigned most_parts);

  /// Takes a fragment. Returns the packet if it is whole now: a chain of buffers, whose Meta says
  /// what it is; else null.
  rte_mbuf* add(Worker& worker, rte_mbuf* fragment);

  /// Gives up, of what has waited too long, as much as one turn may; answers as Linux does.
  void expire(Worker& worker);

  bool empty() const { return x_parts == 0; }
  /// What datagrams are found by.
  static uint32_t hash(const FragmentKey& key, const net::SipKey& secret) {
    return static_cast<uint32_t>(net::siphash<1, 3>(&key, sizeof key, secret));
  }
  /// Frees everything and counts nothing.
  void release();

 private:
  static constexpr uint16_t kNone = UINT16_MAX;
  static constexpr unsigned kFamilies = 2;

  struct Waiting {
    FragmentKey key;
    Nanoseconds until = 0;
    rte_mbuf* parts = nullptr;  ///< the youngest first; the one with offset 0 still has its headers
    rte_mbuf* first = nullptr;  ///< the one with offset 0
    uint32_t hash = 0;          ///< of the key
    uint32_t end = 0;           ///< of all that is known of
    uint32_t first_size = 0;    ///< bytes with offset 0
    uint16_t share = 0;
    uint16_t count = 0;  ///< of parts
    uint16_t largest = 0,
             largest_df = 0;  ///< bytes of IP of the longest fragment; of those with DF
    AgeLinks in_family, in_share;
    uint16_t next_free = kNone;
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
  uint16_t share_of(const FragmentKey& key) const;
  uint16_t find(const FragmentKey& key, uint32_t hash) const;
  uint16_t victim() const;
  uint16_t make_room(Worker& worker, uint16_t share, bool begins);
  uint16_t begin(Worker& worker, const FragmentKey& key, uint32_t hash, uint16_t share);
  void forget(uint16_t number);
  void discard(Worker& worker, uint16_t number, ipvs::DropReason reason);
  bool fits_end(Waiting& waiting, const Part& part) const;
  void insert(Worker& worker, Waiting& waiting, const Part& part);
  rte_mbuf* take(Worker& worker, uint16_t number, const Part& part);
  template <class F>
  rte_mbuf* join(Worker& worker, uint16_t number);

  const net::SipKey x_key;
  const unsigned x_most_parts, x_most_of_source;
  unsigned x_parts = 0;
  FragmentIndex x_index;
  FragmentShares x_shares;
  std::unique_ptr<Waiting[]> x_waiting;
  Untouched<FragmentRuns> x_runs;  ///< of the datagram of the same number
  uint16_t x_free = 0;
  std::array<AgeList, kFamilies> x_by_age;
};

}  // namespace shunt::dataplane
