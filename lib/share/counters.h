// What one worker counts for one server id while packets flow; ipvs/load.h has what it holds.
#pragma once

#include "base/counter.h"

namespace shunt::share {

/// Owner: that worker. One cache line.
struct alignas(64) ServerCounters {
  Counter connections;
  Counter in_packets;
  Counter out_packets;
  Counter in_bytes;  ///< IP lengths
  Counter out_bytes;
};
static_assert(sizeof(ServerCounters) == 64);

}  // namespace shunt::share
