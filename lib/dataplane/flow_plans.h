// Flow plans: all that a plain packet of an established flow needs to be known, but for the flow's
// own endpoint. Many flows share one: those of one service and server with the same next hops.
//
// A flow whose index word names a plan is swift: its packets read the word and the plan and write
// into the word when they came (FlowWord); its session is not touched until something else happens
// to the flow. A plan is good for one epoch: when routes or timeouts change, or time leaps, a new
// one begins, and packets of older plans are left to those who look at sessions. When a server, a
// next hop or a tunnel changes, each plan is in doubt until somebody has looked whether it is what
// had changed (swift.h): packets compare one number, the revision.
//
// Plans are counted; one that no flow uses is used again. They are found by a direct-mapped cache
// of hints, which may forget: then two plans say the same, and nothing else happens.
// Owner: the session table, one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "dataplane/identifiers.h"
#include "dataplane/session.h"
#include "dataplane/untouched.h"
#include "share/counters.h"

namespace shunt::dataplane {

/// What stands in the index beside a flow's key: its plan (16 bits, 0: none), the session's number
/// (28 bits), and the tick of its last packet (20 bits, meaningful with a plan).
class FlowWord {
 public:
  static constexpr unsigned kPlanBits = 16, kNumberBits = 28, kTickBits = 20;
  static constexpr uint32_t kTicks = 1u << kTickBits;
  /// Nanoseconds: a jiffy of a kernel with HZ=250.
  static constexpr Nanoseconds kTick = 4'000'000;

  static uint64_t of(uint32_t number, uint32_t plan, uint64_t tick) {
    return stamp(tick) | uint64_t{number} << kPlanBits | plan;
  }
  static uint32_t number(uint64_t word) {
    return static_cast<uint32_t>(word >> kPlanBits) & ((1u << kNumberBits) - 1);
  }
  static uint16_t plan(uint64_t word) { return static_cast<uint16_t>(word); }
  /// A tick where words have it, for those who have many of them to do with one.
  static uint64_t stamp(uint64_t tick) { return tick << kStampAt; }
  /// How many ticks ago, at `now`, a stamp, if less than kTicks.
  static uint32_t age_at(uint64_t word, uint64_t now) {
    return static_cast<uint32_t>(((now | kBelowStamp) - word) >> kStampAt);
  }
  static uint64_t stamped(uint64_t word, uint64_t now) { return (word & kBelowStamp) | now; }
  /// The same at a tick.
  static uint32_t age(uint64_t word, uint64_t now) { return age_at(word, stamp(now)); }
  static uint64_t at(uint64_t word, uint64_t now) { return stamped(word, stamp(now)); }

 private:
  static constexpr unsigned kStampAt = kPlanBits + kNumberBits;
  static constexpr uint64_t kBelowStamp = (uint64_t{1} << kStampAt) - 1;
};

/// What becomes of a packet, but for its hop limit and its MAC addresses.
enum class FlowEdit : uint8_t { kNone, kNat, kIpip };

/// All that packets need in one direction: a cache line.
struct alignas(64) FlowWay {
  /// FlowPlans::revision() when it was last found good, and its port; 0: not yet, or no way.
  uint32_t revision;
  uint32_t lifetime;  ///< ticks from a flow's last packet to its end
  Counter* packets;   ///< of the server, in this direction; bytes are kBytes behind
  uint64_t open;      ///< of a plan: what is not counted there yet, bytes and, kPacketsAt, packets
  uint64_t head;      ///< the first 12 bytes of frames: MAC addresses
  uint32_t tail;
  uint16_t mtu;  ///< bytes of the packet as it came
  uint8_t port;
  FlowEdit edit;
  /// NAT: the end that is not the client, as it came and as it goes on. Of IP in IP the outer
  /// source and destination, and address_delta is the sum of their 16-bit words.
  Ipv4 from, to;
  be16 from_port, to_port;
  uint16_t address_delta, transport_delta;  ///< of the checksums of IPv4 and of what it carries
  uint8_t address_at, port_at;              ///< where that end is in a frame
  TunnelIds::Place ids;                     ///< of IP in IP
  static constexpr ptrdiff_t kBytes = 2, kConnections = -1;
  static constexpr unsigned kPacketsAt = 40;

  /// One of so many bytes, to be counted by settle().
  void note(uint32_t length) { open += (uint64_t{1} << kPacketsAt) + length; }
  void settle() {
    if (open == 0) return;
    packets[0].add(open >> kPacketsAt);
    packets[kBytes].add(open & ((uint64_t{1} << kPacketsAt) - 1));
    open = 0;
  }
  friend bool operator==(const FlowWay&, const FlowWay&) = default;
};
static_assert(sizeof(FlowWay) == 64 &&
              offsetof(share::ServerCounters, connections) ==
                  offsetof(share::ServerCounters, in_packets) +
                      FlowWay::kConnections * sizeof(Counter) &&
              offsetof(share::ServerCounters, in_bytes) ==
                  offsetof(share::ServerCounters, in_packets) + FlowWay::kBytes * sizeof(Counter) &&
              offsetof(share::ServerCounters, out_bytes) ==
                  offsetof(share::ServerCounters, out_packets) + FlowWay::kBytes * sizeof(Counter));

struct FlowPlan {
  FlowWay ways[2];  ///< of requests; of answers, with NAT only
  friend bool operator==(const FlowPlan&, const FlowPlan&) = default;
};

/// What a plan rests on.
struct FlowBasis {
  uint32_t epoch;  ///< 0: not in use
  uint32_t server_id;
  uint32_t hop_ids[2];  ///< next hops, of requests and of answers
  uint64_t hops[2];     ///< what was known of them, each a NextHop as one word
  friend bool operator==(const FlowBasis&, const FlowBasis&) = default;
};

class FlowPlans {
 public:
  static constexpr uint32_t kPlans = 1u << FlowWord::kPlanBits;

  const FlowPlan& at(uint16_t number) const { return x_plans[number]; }
  const FlowBasis& basis(uint16_t number) const { return x_bases[number]; }
  /// The way of a plan's requests, and behind it that of its answers.
  FlowWay* ways() const { return x_plans[0].ways; }
  uint32_t epoch() const { return x_epoch; }
  uint32_t used() const { return x_most_used - x_freed_count; }
  /// Another one whenever plans may not be good any more, neither 0 nor kNoRevision: the lowest
  /// bits are free for a port, so that packets compare both at once.
  uint32_t revision() const { return x_revision; }
  static constexpr uint32_t kNoRevision = UINT32_MAX, kPorts = 1u << 4;
  /// The tick at which a plan's epoch ended, if it is another by now.
  uint64_t ended_at(uint16_t number) const { return x_uses[number].ended_at; }

  /// All plans are over, at this tick.
  void begin_epoch(uint64_t tick);
  /// All plans are in doubt.
  void doubt() {
    x_revision = x_revision < UINT32_MAX / kPorts * kPorts - kPorts ? x_revision + kPorts : kPorts;
  }
  /// A plan of this epoch that is `wanted`, on this basis; 0: there are too many. To be given back.
  uint16_t take(FlowPlan wanted, FlowBasis basis);
  void give(uint16_t number);
  /// Counts what packets of the next `most` plans have noted, in turn: a packet's line has room for
  /// that, and its server's counters are in another one.
  void settle(unsigned most);

 private:
  static constexpr uint32_t kHints = 4096;
  static uint32_t hint_of(const FlowPlan& plan, const FlowBasis& basis);
  bool is(uint16_t number, FlowPlan& wanted, const FlowBasis& basis) const;
  struct Use {
    uint64_t ended_at;
    uint32_t flows;
  };

  /// Whose revisions, and what is noted, are the lane's to write.
  mutable Untouched<FlowPlan> x_plans{kPlans};
  Untouched<FlowBasis> x_bases{kPlans};
  Untouched<Use> x_uses{kPlans};
  Untouched<uint16_t> x_freed{kPlans};  ///< a stack
  std::array<uint16_t, kHints> x_hints{};
  uint32_t x_freed_count = 0, x_most_used = 0;
  uint32_t x_settled = 0;  ///< the last one that was
  uint32_t x_epoch = 1, x_revision = kPorts;
};

}  // namespace shunt::dataplane
