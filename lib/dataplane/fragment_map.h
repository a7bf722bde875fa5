// Which protocol and ports a fragmented packet has: only its first fragment says, the others must
// be told.
//
// A fixed table of kWays-way buckets under a keyed hash; nothing is ever allocated. A flood of
// first fragments overwrites the oldest entries of its buckets and nothing else. Owned by one
// worker: all fragments of a packet come to the worker that FragmentKey::hash names.
#pragma once

#include <rte_jhash.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "dataplane/packet.h"

namespace shunt::dataplane {

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

class FragmentMap {
 public:
  /// What a first fragment says: TCP, UDP or SCTP and the ports, or that it is no flow's (protocol
  /// 0). The owner of its flow knows also which server it got, if no session says so.
  struct First {
    be16 source_port, destination_port;
    uint8_t protocol;
    uint32_t server_id = UINT32_MAX;
  };
  static First not_flow() { return {be16(0), be16(0), 0}; }
  static constexpr unsigned kBuckets = 1024, kWays = 4;
  /// As long as Linux waits for a packet's fragments (net.ipv4.ipfrag_time).
  static constexpr Nanoseconds kRemember = 30'000'000'000;

  explicit FragmentMap(uint32_t seed) : x_seed(seed), x_entries(new Entry[kBuckets * kWays]) {}

  void remember(const FragmentKey& key, First first, Nanoseconds now) {
    Entry* bucket = bucket_of(key);
    Entry* victim = bucket;
    for (unsigned i = 0; i < kWays; i++) {
      if (bucket[i].until != 0 && bucket[i].key == key) {
        victim = &bucket[i];
        break;
      }
      if (bucket[i].until < victim->until) victim = &bucket[i];
    }
    *victim = {key, first, now + kRemember};
  }
  std::optional<First> find(const FragmentKey& key, Nanoseconds now) const {
    const Entry* bucket = bucket_of(key);
    for (unsigned i = 0; i < kWays; i++)
      if (bucket[i].until > now && bucket[i].key == key) return bucket[i].first;
    return std::nullopt;
  }

 private:
  struct Entry {
    FragmentKey key;
    First first = not_flow();
    Nanoseconds until = 0;  ///< 0: empty
  };
  Entry* bucket_of(const FragmentKey& key) const {
    return &x_entries[(key.hash(x_seed) % kBuckets) * kWays];
  }
  uint32_t x_seed;
  std::unique_ptr<Entry[]> x_entries;
};

}  // namespace shunt::dataplane
