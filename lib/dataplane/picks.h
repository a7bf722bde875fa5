// Scheduling without a session: what the lane of pick_lane.h knows of services that choose servers
// by a hash of the packet alone (maglev, mh, sh), and of their servers. Every packet of theirs gets
// a server by itself if they are one-packet services (-o); if they are not, those of flows for
// which the session table had no room do (`full = stateless`).
//
// An endpoint of such a service has a number from its first packet on, which stands beside its
// class (flow_classes.h). What is known under the number is made of what control has published, and
// points into it: it is good for one revision, and looked up again by the first packet of the next.
// A new one begins with the first turn after anything changed that it rests on: services, routes,
// next hops, tunnels, servers, path MTUs.
//
// What cannot be told beforehand (thresholds, servers of weight 0, those without a next hop) is the
// stages' and has no way here. Owner: one worker; allocates nothing after construction.
#pragma once

#include <cstdint>

#include "dataplane/flow_plans.h"
#include "dataplane/untouched.h"
#include "ipvs/service_table.h"
#include "net/family.h"

struct rte_mbuf;

namespace shunt::dataplane {

class Worker;

/// How a packet chooses a slot of its service's table.
struct PickHash {
  enum Kind : uint8_t { kMaglev, kMh, kSh } kind = kMaglev;
  bool with_port = false;
  uint32_t slots = 0;       ///< 0: none
  uint64_t reciprocal = 0;  ///< 2^64 / slots, rounded down
  net::SipKey key;
  friend bool operator==(const PickHash&, const PickHash&) = default;
};

/// An endpoint of a service: a cache line.
struct alignas(64) Pick {
  uint32_t revision;      ///< of Picks, when it was last found good
  uint32_t word;          ///< Picks::word_of()
  uint64_t endpoint;      ///< FlowClasses::key_of(); 0: the number is free
  const uint16_t* table;  ///< slot → server
  FlowWay* ways;          ///< of the servers, in the service's order
  const ipvs::Service* service;
};

class Picks {
 public:
  /// What stands in a row of FlowClasses: a number, a hash, and whether only flows for which there
  /// is no room go without a session.
  static uint32_t word_of(uint32_t number, uint32_t hash, bool is_for_want_of_room) {
    return number | hash << kHashAt | (is_for_want_of_room ? kForWantOfRoom : 0);
  }
  static constexpr unsigned kNumberBits = 14, kHashAt = kNumberBits + 1;
  static constexpr uint32_t kPicks = 1u << kNumberBits, kForWantOfRoom = kPicks, kHashes = 8;

  Picks() = default;

  /// What a revision rests on, apart from what Worker has of its own.
  struct Basis {
    uint64_t services, changes;  ///< Published::changes(), Board::changes()
    uint32_t routes, path_mtus;
    bool finds_path_mtus;
    friend bool operator==(const Basis&, const Basis&) = default;
  };
  /// Once a turn, before any packet. It was read before what it is about.
  void begin_turn(const Basis& basis);
  /// Gives up numbers of services that are gone, a few of them each turn after an edit, and those
  /// for want of room once no flow is left without a session.
  void tend(Worker& worker) noexcept {
    if (x_for_want_of_room != 0 || x_cursor <= x_most_used) tend_some(worker);
  }

  /// A packet that goes there was scheduled by itself: the next ones need not see the stages, if
  /// the service is of the right kind.
  void meet(Worker& worker, const ipvs::Service& service, const net::Tuple<net::V4>& request);

  uint32_t revision() const { return x_revision; }
  const PickHash& hash(uint32_t number) const { return x_hashes[number]; }
  const Pick& at(uint32_t word) const { return x_picks[word % kPicks]; }

  /// Whether a pick that was found under this word is good in this revision. If not, or not under
  /// this word, its packets are for the stages.
  bool renew(Worker& worker, uint32_t word) noexcept;
  /// The same of the way to one of its servers; a bad one takes no packet, however short.
  void make_way(Worker& worker, const Pick& pick, uint32_t server, FlowWay& way) noexcept;

 private:
  void tend_some(Worker& worker) noexcept;
  void drop(Worker& worker, uint32_t number);
  /// Its number; kHashes: there are too many.
  uint32_t take_hash(const PickHash& hash);

  Untouched<Pick> x_picks{kPicks};
  Untouched<FlowWay> x_ways{ipvs::kMaxServers};  ///< of all picks of this revision
  Untouched<uint16_t> x_freed{kPicks};           ///< numbers used before, a stack
  uint32_t x_revision = 1, x_ways_used = 0;
  uint32_t x_freed_count = 0, x_most_used = 0;
  uint32_t x_for_want_of_room = 0;  ///< so many picks are
  uint32_t x_cursor = 1;            ///< of the numbers that an edit may have ended
  Basis x_basis{};
  PickHash x_hashes[kHashes]{};
};

/// What holds for the packets of a burst.
struct PickRules {
  bool may_pick;  ///< the stages drop no packet by chance
  /// Flows without a session have their servers' answers, and there is no room for others: packets
  /// without a session to endpoints whose pick is for want of room go without one.
  bool has_no_room;
  bool asks_each;     ///< not_to_pick() is to be asked about all
  bool asks_servers;  ///< it is to be asked about what comes from servers' ports
};
PickRules pick_rules(const Worker& worker) noexcept;

/// Of the packets of a burst, those that are not for the lane: a session may have them, or another
/// worker owns them, or a masqueraded server sends them.
uint64_t not_to_pick(const Worker& worker, uint8_t* const frames[], uint64_t packets) noexcept;

/// For --explain: what the stages would have noted of a packet, before it is edited. `begins`: it
/// may begin a session.
void note_pick(Worker& worker, rte_mbuf* packet, const Pick& pick, uint32_t slot, uint8_t port_in,
               bool begins) noexcept;

}  // namespace shunt::dataplane
