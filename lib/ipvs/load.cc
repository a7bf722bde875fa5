// The marks of overloaded servers. A worker counts first and looks at the others' counts then, with
// a fence in between: of two workers that count at once one sees both counts, so that the last
// session to come sets the mark and the last to go lifts it. Two that come and go at once may leave
// the mark as either alone would; the next session of either corrects it.
#include "ipvs/load.h"

namespace shunt::ipvs {

void Loads::raise(uint32_t server_id) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  ServerLimits& limits = x_limits[server_id];
  if (sessions(server_id) >= limits.upper.load(std::memory_order_relaxed))
    limits.overloaded.store(1, std::memory_order_relaxed);
}

void Loads::lower(uint32_t server_id) const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  ServerLimits& limits = x_limits[server_id];
  if (limits.overloaded.load(std::memory_order_relaxed) == 0) return;
  uint64_t upper = limits.upper.load(std::memory_order_relaxed);
  uint64_t lower = limits.lower.load(std::memory_order_relaxed);
  uint64_t all = sessions(server_id);
  if (lower != 0 ? all < lower : all * 4 < upper * 3)
    limits.overloaded.store(0, std::memory_order_relaxed);
}

}  // namespace shunt::ipvs
