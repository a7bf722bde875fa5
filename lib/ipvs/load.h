// How much servers have to do right now: what schedulers compare, and whether a threshold says that
// a server shall have no more (-x, -y).
//
// Every worker counts its own sessions by server id; a sum over the workers is what the kernel
// keeps in one place (ip_vs_dest: activeconns, inactconns, persistconns). Marks of overload are one
// for all workers and change rarely.
#pragma once

#include <algorithm>
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

/// The limits of one server id and whether they were passed. Writers: control the limits; the mark,
/// control and any worker that begins or ends a session. A removed server keeps its limits, added
/// again it goes on with them, as in IPVS.
struct ServerLimits {
  std::atomic<uint32_t> upper{0}, lower{0};  ///< sessions; 0: none (u_threshold, l_threshold)
  std::atomic<uint32_t> overloaded{0};

  /// Control: what is configured now. More room than before lifts the mark (__ip_vs_update_dest).
  void set(uint32_t new_upper, uint32_t new_lower) {
    uint32_t old_upper = upper.load(std::memory_order_relaxed);
    if (new_upper == old_upper && new_lower == lower.load(std::memory_order_relaxed)) return;
    if (new_upper == 0 || new_upper > old_upper) overloaded.store(0, std::memory_order_relaxed);
    upper.store(new_upper, std::memory_order_relaxed);
    lower.store(new_lower, std::memory_order_relaxed);
  }
};

/// All workers' rows, to be read by any of them.
class Loads {
 public:
  static constexpr unsigned kMostWorkers = 127;  ///< share::kMaxWorkers says why

  struct Sum {
    uint64_t active = 0, inactive = 0, persistent = 0;
    uint64_t all() const { return active + inactive + persistent; }
  };

  /// `limits` has a row for every server id, and so has every worker added.
  explicit Loads(ServerLimits* limits) : x_limits(limits) {}
  /// False: there are kMostWorkers already.
  [[nodiscard]] bool add_worker(const ServerLoad* rows) {
    if (x_count == kMostWorkers) return false;
    x_workers[x_count++] = rows;
    return true;
  }

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
  /// What thresholds are about: templates do not count (ip_vs_dest_totalconns).
  uint64_t sessions(uint32_t server_id) const {
    uint64_t sum = 0;
    for (unsigned w = 0; w < x_count; w++) {
      const ServerLoad& row = x_workers[w][server_id];
      uint64_t templates = row.persistent.get(), all = row.sessions.get();
      sum += all - std::min(templates, all);  // another worker may be in the middle of a change
    }
    return sum;
  }

  bool is_overloaded(uint32_t server_id) const {
    const ServerLimits& limits = x_limits[server_id];
    return limits.overloaded.load(std::memory_order_relaxed) != 0 &&
           limits.upper.load(std::memory_order_relaxed) != 0;
  }
  ServerLimits& limits(uint32_t server_id) const { return x_limits[server_id]; }

  /// A worker has counted a session of this server, or a template, or counts one no more: does a
  /// threshold say something else now? (ip_vs_bind_dest, ip_vs_unbind_dest)
  void begun(uint32_t server_id) const {
    if (x_limits[server_id].upper.load(std::memory_order_relaxed) != 0) raise(server_id);
  }
  void ended(uint32_t server_id) const {
    if (x_limits[server_id].upper.load(std::memory_order_relaxed) != 0) lower(server_id);
  }

  /// May a scheduler give it a new session? (weight 0 means quiesced.)
  bool is_usable(const Server& server) const {
    return server.weight > 0 && !is_overloaded(server.id);
  }

 private:
  void raise(uint32_t server_id) const;
  void lower(uint32_t server_id) const;

  ServerLimits* x_limits;
  std::array<const ServerLoad*, kMostWorkers> x_workers{};
  unsigned x_count = 0;
};

}  // namespace shunt::ipvs
