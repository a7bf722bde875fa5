// How long TCP segments may be, by server id: what the rule for its service says
// (ipvs/mss_clamp.h).
//
// Writer: control, before the server is in a published table. Readers: workers.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipvs/service_table.h"
#include "share/zero_rows.h"

namespace shunt::share {

class ServerMss {
 public:
  void set(uint32_t server_id, uint16_t size) {
    x_rows[server_id].store(size, std::memory_order_relaxed);
  }
  /// Bytes, ipvs::MssClamp::kAuto or kNone.
  uint16_t of(uint32_t server_id) const {
    return x_rows[server_id].load(std::memory_order_relaxed);
  }

 private:
  ZeroRows<std::atomic<uint16_t>> x_rows{ipvs::kMaxServers};
};

}  // namespace shunt::share
