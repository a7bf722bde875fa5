// How much servers have to do right now: what schedulers compare, and whether a threshold says that
// a server shall have no more (-x, -y).
//
// Every worker counts its own sessions by server id; a sum over the workers is what the kernel
// keeps in one place (ip_vs_dest: activeconns, inactconns, persistconns). Marks of overload are one
// for all workers and change rarely.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/counter.h"
#include "ipvs/service_table.h"

namespace shunt::ipvs {

/// What one worker holds of one server's sessions (owner: that worker).
struct alignas(32) ServerLoad {
  Counter active;      ///< sessions in an active state (ActiveConn)
  Counter inactive;    ///< sessions in any other state (InActConn)
  Counter persistent;  ///< persistence templates
  Counter sessions;    ///< in the tables now, templates included; unlike active + inactive never
                       ///< short of one
};
static_assert(sizeof(ServerLoad) == 32);

/// The limits of one server id and whether they were passed. Writers: control the limits, and any
/// worker that begins or ends a session the mark.
struct ServerLimits {
  std::atomic<uint32_t> upper{0}, lower{0};  ///< sessions; 0: none (u_threshold, l_threshold)
  std::atomic<uint32_t> overloaded{0};
};

/// All workers' rows, to be read by any of them.
class Loads {
 public:
  static constexpr unsigned kMostWorkers = 64;

  struct Sum {
    uint64_t active = 0, inactive = 0, persistent = 0;
    uint64_t all() const { return active + inactive + persistent; }
  };

  /// `limits` has a row for every server id, and so has every worker added.
  explicit Loads(ServerLimits* limits) : x_limits(limits) {}
  void add_worker(const ServerLoad* rows) { x_workers[x_count++] = rows; }

  Sum of(uint32_t server_id) const {
    Sum sum;
    for (unsigned w = 0; w < x_count; w++) {
      const ServerLoad& row = x_workers[w][server_id];
      sum.active += row.active.get();
      sum.inactive += row.inactive.get();
      sum.persistent += row.persistent.get();
    }
    return sum;
  }
  uint64_t sessions(uint32_t server_id) const {
    uint64_t sum = 0;
    for (unsigned w = 0; w < x_count; w++) sum += x_workers[w][server_id].sessions.get();
    return sum;
  }

  bool is_overloaded(uint32_t server_id) const {
    return x_limits[server_id].overloaded.load(std::memory_order_relaxed) != 0;
  }
  ServerLimits& limits(uint32_t server_id) const { return x_limits[server_id]; }

  /// May a scheduler give it a new session? (weight 0 means quiesced.)
  bool is_usable(const Server& server) const {
    return server.weight > 0 && !is_overloaded(server.id);
  }

 private:
  ServerLimits* x_limits;
  std::array<const ServerLoad*, kMostWorkers> x_workers{};
  unsigned x_count = 0;
};

}  // namespace shunt::ipvs
