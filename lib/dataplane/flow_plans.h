// Flow plans: all that a plain packet of an established flow needs to be known, but for the flow's
// own endpoint. Many flows share one: those of one service and server with the same next hops.
//
// A flow whose index word names a plan is swift: its packets read the word and the plan and write
// into the word when they came (FlowWord); its session is not touched until something else happens
// to the flow. A plan is good for one epoch: when routes or timeouts change, or time leaps, a new
// one begins, and packets of older plans are left to those who look at sessions.
//
// Plans are counted; one that no flow uses is used again. They are found by a direct-mapped cache
// of hints, which may forget: then two plans say the same, and nothing else happens.
// Owner: the session table, one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/counter.h"
#include "dataplane/session.h"
#include "dataplane/untouched.h"
#include "share/counters.h"
#include "share/next_hops.h"

namespace shunt::dataplane {

/// What stands in the index beside a flow's key: the session's number (28 bits), its plan (16
/// bits, 0: none) and the tick of its last packet (20 bits, meaningful with a plan).
class FlowWord {
 public:
  static constexpr unsigned kTickBits = 20, kPlanBits = 16, kNumberBits = 28;
  static constexpr uint32_t kTicks = 1u << kTickBits;
  /// Nanoseconds: a jiffy of a kernel with HZ=250.
  static constexpr Nanoseconds kTick = 4'000'000;

  static uint64_t of(uint32_t number, uint32_t plan, uint64_t tick) {
    return uint64_t{number} << (kTickBits + kPlanBits) | uint64_t{plan} << kTickBits |
           (tick & (kTicks - 1));
  }
  static uint32_t number(uint64_t word) {
    return static_cast<uint32_t>(word >> (kTickBits + kPlanBits));
  }
  static uint16_t plan(uint64_t word) { return static_cast<uint16_t>(word >> kTickBits); }
  /// How many ticks ago, at `now`, if less than kTicks.
  static uint32_t age(uint64_t word, uint64_t now) {
    return static_cast<uint32_t>(now - word) & (kTicks - 1);
  }
  static uint64_t at(uint64_t word, uint64_t now) {
    return (word & ~uint64_t{kTicks - 1}) | (now & (kTicks - 1));
  }
};

/// What becomes of a packet, but for its hop limit and its MAC addresses.
enum class FlowEdit : uint8_t { kNone, kNat, kIpip };

/// The way out in one direction.
struct FlowExit {
  uint64_t hop;                   ///< a NextHop as one word; the plan is void once it is another
  share::NextHops::Known* known;  ///< where it stands
  Counter* packets;               ///< of the server, in this direction; bytes are kBytes behind
  uint64_t head;                  ///< the first 12 bytes of frames: MAC addresses
  uint32_t tail;
  uint16_t mtu;  ///< bytes of the packet as it came
  uint8_t port;
  FlowEdit edit;
  static constexpr size_t kBytes = 2;
  friend bool operator==(const FlowExit&, const FlowExit&) = default;
};
static_assert(offsetof(share::ServerCounters, in_bytes) ==
                  offsetof(share::ServerCounters, in_packets) +
                      FlowExit::kBytes * sizeof(Counter) &&
              offsetof(share::ServerCounters, out_bytes) ==
                  offsetof(share::ServerCounters, out_packets) +
                      FlowExit::kBytes * sizeof(Counter));

/// What NAT does in one direction. Of IP in IP the two addresses are the outer ones and the first
/// address_delta is the sum of their 16-bit words; else 0.
struct FlowTranslation {
  Ipv4 address;  ///< of the end that is not the client, from here on
  be16 port;
  uint16_t address_delta, transport_delta;  ///< of the checksums of IPv4 and of what it carries
  friend bool operator==(const FlowTranslation&, const FlowTranslation&) = default;
};

/// What packets need: requests without NAT the first cache line alone.
struct alignas(64) FlowPlan {
  uint32_t epoch;                          ///< 0: not in use
  uint32_t lifetime;                       ///< ticks from a flow's last packet to its end
  const std::atomic<uint8_t>* configured;  ///< is the server?
  FlowExit exits[2];                       ///< of requests; of answers, with NAT only
  FlowTranslation to[2];                   ///< likewise: the server; the virtual service
  const std::atomic<uint32_t>* tunnel;     ///< kIpip: the server's, which is to stay kIpipWord
  static constexpr uint32_t kIpipWord = 0;
  friend bool operator==(const FlowPlan&, const FlowPlan&) = default;
};
static_assert(sizeof(FlowPlan) == 128 && offsetof(FlowPlan, exits) + sizeof(FlowExit) <= 64);

/// What else is known of a plan.
struct FlowPlanNote {
  uint32_t server_id;
  uint32_t hop_in, hop_out;  ///< next-hop ids
  friend bool operator==(const FlowPlanNote&, const FlowPlanNote&) = default;
};

class FlowPlans {
 public:
  static constexpr uint32_t kPlans = 1u << FlowWord::kPlanBits;

  const FlowPlan& at(uint16_t number) const { return x_plans[number]; }
  const FlowPlanNote& note(uint16_t number) const { return x_notes[number]; }
  uint32_t epoch() const { return x_epoch; }
  /// The tick at which a plan's epoch ended, if it is another by now.
  uint64_t ended_at(uint16_t number) const { return x_uses[number].ended_at; }

  /// All plans are over, at this tick.
  void begin_epoch(uint64_t tick);
  /// A plan of this epoch that is `wanted`, with this note; 0: there are too many. To be given
  /// back.
  uint16_t take(FlowPlan wanted, const FlowPlanNote& note);
  void give(uint16_t number);

 private:
  static constexpr uint32_t kHints = 4096;
  static uint32_t hint_of(const FlowPlan& plan, const FlowPlanNote& note);
  struct Use {
    uint64_t ended_at;
    uint32_t flows;
  };

  Untouched<FlowPlan> x_plans{kPlans};
  Untouched<FlowPlanNote> x_notes{kPlans};
  Untouched<Use> x_uses{kPlans};
  Untouched<uint16_t> x_freed{kPlans};  ///< a stack
  std::array<uint16_t, kHints> x_hints{};
  uint32_t x_freed_count = 0, x_most_used = 0;
  uint32_t x_epoch = 1;
};

}  // namespace shunt::dataplane
