// What the workers of a board have counted for a server, summed: where Accounts reads.
#pragma once

#include "control/accounts.h"
#include "share/board.h"

namespace shunt::control {

inline ServerFacts server_facts(const share::Board& board, uint32_t server_id) {
  ServerFacts facts;
  ipvs::Loads::Sum load = board.loads.of(server_id);
  facts.active = load.active;
  facts.inactive = load.inactive;
  facts.persistent = load.persistent;
  for (const auto& desk : board.desks) {
    const share::ServerCounters& counters = desk->counters.servers[server_id];
    facts.totals.connections += counters.connections.get();
    facts.totals.in_packets += counters.in_packets.get();
    facts.totals.out_packets += counters.out_packets.get();
    facts.totals.in_bytes += counters.in_bytes.get();
    facts.totals.out_bytes += counters.out_bytes.get();
  }
  return facts;
}

}  // namespace shunt::control
