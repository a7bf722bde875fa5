// Schedulers: one constexpr table of {name, build, pick}; adding one is a file and a row.
//
// build runs on the control thread when a service changes; pick runs on a worker for the first
// packet of a flow only, and must not allocate, lock or throw.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "ipvs/knobs.h"
#include "ipvs/load.h"
#include "ipvs/service_table.h"

namespace shunt::ipvs {

/// What a scheduler may know of a flow. Addresses are folded as Linux does: IPv4 in host order;
/// IPv6 the xor of its four words, each in host order (ip_vs_mh.c, ip_vs_sh.c).
struct Flow {
  uint32_t client = 0;
  uint32_t virtual_address = 0;
  uint16_t client_port = 0;   ///< host order
  uint16_t virtual_port = 0;  ///< host order
  uint8_t protocol = 0;
  uint8_t address_size = 0;                ///< 4 or 16: how many bytes the next two point to
  const uint8_t* client_bytes = nullptr;   ///< the addresses themselves, for schedulers that must
  const uint8_t* virtual_bytes = nullptr;  ///< not fold them; they live as long as the pick
  /// An ICMP error quotes it. The destination that dh, lblc and lblcr go by is the quoted packet's
  /// then, which is the client (ip_vs_in_icmp, ip_vs_dh_schedule).
  bool is_quoted = false;
};

uint32_t fold(const Ipv4& address);
uint32_t fold(const Ipv6& address);

/// What a worker remembers for a service between picks (owner: that worker).
struct SchedulerState {
  uint32_t last_server = kNoServer;  ///< id picked last, or the one before it when it was removed
  uint32_t followers = 0;            ///< servers after it at that time: a guess where it is now
  uint32_t removed = 0;              ///< Service::removed at that time
  uint32_t epoch = 0;                ///< of the service it belongs to
  uint32_t changes = 0;              ///< WeightHistory::changes seen so far (wrr)
  int32_t position = -1;             ///< index in Service::servers, -1: before the first (wrr)
  int32_t demand = 0;                ///< the weight a server needs now; 0: to be set (wrr)
  uint64_t drawn = 0;                ///< lots so far (twos)

  /// Another scheduler than before, or another service under the same id, begins with a new state.
  void follow(const Service& service) {
    if (epoch == service.epoch) return;
    *this = {};
    epoch = service.epoch;
    removed = service.removed;
  }
};

/// Secrets of one worker.
struct SchedulerKeys {
  net::SipKey lots;  ///< of drawing lots (twos)
  net::SipKey
      addresses;  ///< of the hash of virtual addresses, which outsiders choose (lblc, lblcr)
};
inline constexpr SchedulerKeys kNoSchedulerKeys{};

/// What else a pick may look at.
struct Now {
  const Loads& loads;
  const SharedKnobs& knobs;
  uint64_t nanoseconds = 0;                       ///< the worker's clock
  unsigned worker = 0;                            ///< whose pick it is, from 0
  const SchedulerKeys* keys = &kNoSchedulerKeys;  ///< that worker's
};

/// A pick: the index into Service::servers, or kNoPick, and the table slot for --explain.
struct Pick {
  static constexpr int32_t kNoPick = -1;
  int32_t index = kNoPick;
  int32_t slot = -1;
};

/// What the conf file and the rules say about schedulers; the same for all services.
struct SchedulerSettings {
  unsigned workers = 1;           ///< that will pick: Now::worker is below it
  int mh_table_index = 12;        ///< of mh's table sizes (CONFIG_IP_VS_MH_TAB_INDEX)
  uint32_t maglev_slots = 65537;  ///< a prime
  net::SipKey maglev_key;         ///< all zero: known to everybody
};

/// What a scheduler remembers of a service between picks if SchedulerState is too small: a part for
/// each worker, which alone touches it. Lives as long as the service keeps its scheduler.
class SchedulerMemory {
 public:
  virtual ~SchedulerMemory() = default;
};

struct Scheduler {
  std::string_view name;
  /// Fills Service::table; errors name the reason (too many servers for the table).
  Result<void> (*build)(Service& service, const SchedulerSettings& settings);
  Pick (*pick)(const Service& service, SchedulerState& state, const Flow& flow, const Now& now);
  /// Notes in Service::history that the servers changed and have these weights now, or that the
  /// service begins with them; null: keeps no history.
  void (*note)(WeightHistory& history, std::span<const int32_t> weights) = nullptr;
  /// Null: needs none.
  Result<std::shared_ptr<SchedulerMemory>> (*make_memory)(const SchedulerSettings&) = nullptr;
  /// The same flow gets the same server from every pick while the servers are the same.
  bool is_hash = false;
};

/// The `build` of schedulers without a table.
Result<void> build_no_table(Service& service, const SchedulerSettings& settings);

/// By name, IPVS's ("rr", "mh") or our own ("maglev"); null if there is none.
const Scheduler* find_scheduler(std::string_view name);

// Each is in the file of its name, schedulers/rr.cc and so on.
extern const Scheduler kNoScheduler;              // none
extern const Scheduler kRoundRobin;               // rr
extern const Scheduler kWeightedRoundRobin;       // wrr
extern const Scheduler kLeastConnection;          // lc
extern const Scheduler kWeightedLeastConnection;  // wlc
extern const Scheduler kLocality;                 // lblc
extern const Scheduler kReplicatedLocality;       // lblcr
extern const Scheduler kDestinationHash;          // dh
extern const Scheduler kSourceHash;               // sh
extern const Scheduler kShortestExpectedDelay;    // sed
extern const Scheduler kNeverQueue;               // nq
extern const Scheduler kFailOver;                 // fo
extern const Scheduler kOverflow;                 // ovf
extern const Scheduler kMaglevHash;               // mh
extern const Scheduler kTwoChoices;               // twos
extern const Scheduler kMaglev;                   // maglev

}  // namespace shunt::ipvs
