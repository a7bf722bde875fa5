// Bytes a session: what a table of so many takes of DPDK's memory, index and timers included.
#include <rte_malloc.h>

#include "dataplane/session_table.h"
#include "measure.h"
#include "scene.h"

namespace shunt::bench {

namespace {

uint64_t allocated() {
  rte_malloc_socket_stats stats{};
  rte_malloc_get_socket_stats(0, &stats);
  return stats.heap_allocsz_bytes;
}

template <class F>
Measured measure_table(const char* family, uint32_t sessions) {
  using Table = dataplane::SessionTable<F>;
  uint64_t before = allocated();
  auto table = Table::create("memory", sessions, {}, SOCKET_ID_ANY);
  if (!table) return table.error();
  auto bytes = static_cast<double>(allocated() - before);
  return nlohmann::json{{"family", family},
                        {"sessions", sessions},
                        {"bytes_a_session", bytes / sessions},
                        {"bytes_wanted", Table::bytes_wanted(sessions)},
                        {"session_itself", sizeof(dataplane::Session<F>)}};
}

}  // namespace

Measured measure_memory(const Ports&, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t sessions : options.sessions) {
    for (auto measure : {measure_table<net::V4>, measure_table<net::V6>}) {
      auto measured = measure(measure == measure_table<net::V4> ? "IPv4" : "IPv6", sessions);
      if (!measured) return measured.error();
      rows.push_back(std::move(*measured));
    }
  }
  return rows;
}

}  // namespace shunt::bench
