// Schedulers: one constexpr table of {name, build, pick}; adding one is a file and a row.
//
// build runs on the control thread when a service changes; pick runs on a worker for the first
// packet of a flow only, and must not allocate, lock or throw.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
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
};

uint32_t fold(const Ipv4& address);
uint32_t fold(const Ipv6& address);

/// What a worker remembers for a service between picks (owner: that worker).
struct SchedulerState {
  uint32_t last_server = kNoServer;  ///< id picked last, or the one before it when it was removed
  uint32_t followers = 0;            ///< servers after it at that time: a guess where it is now
  uint32_t removed = 0;              ///< Service::removed at that time
  uint32_t epoch = 0;                ///< of the service it belongs to

  /// Another scheduler than before, or another service under the same id, begins with a new state.
  void follow(const Service& service) {
    if (epoch == service.epoch) return;
    *this = {};
    epoch = service.epoch;
    removed = service.removed;
  }
};

/// What else a pick may look at.
struct Now {
  const Loads& loads;
  uint64_t nanoseconds = 0;  ///< the worker's clock
};

/// A pick: the index into Service::servers, or kNoPick, and the table slot for --explain.
struct Pick {
  static constexpr int32_t kNoPick = -1;
  int32_t index = kNoPick;
  int32_t slot = -1;
};

struct Scheduler {
  std::string_view name;
  /// Fills Service::table; errors name the reason (too many servers for the table).
  Result<void> (*build)(Service& service);
  Pick (*pick)(const Service& service, SchedulerState& state, const Flow& flow, const Now& now);
};

/// By IPVS's name ("rr", "mh"); null if there is none.
const Scheduler* find_scheduler(std::string_view name);
/// Does IPVS have a scheduler of this name, built here or not?
bool is_scheduler_of_ipvs(std::string_view name);

extern const Scheduler kRoundRobin;  // schedulers/rr.cc
extern const Scheduler kMaglevHash;  // schedulers/mh.cc

}  // namespace shunt::ipvs
