// What tests compare that send the same packets through workers with a short way and without: all
// counters, next hops in use, and what --explain says of each packet.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "rig.h"

namespace shunt::test {

/// SHUNT_TEST_SEED, or one that finds much.
inline uint64_t seed() {
  const char* given = std::getenv("SHUNT_TEST_SEED");
  return given ? std::strtoull(given, nullptr, 10) : 20261125;
}

constexpr unsigned kComparedServers = 32;  // by their ids

/// All counters of all workers by name, and marks of overload; not those of turns and strays: who
/// finds a session of a service that was edited does not ask around first.
inline std::map<std::string, uint64_t> counters_of(const Rig& rig) {
  std::map<std::string, uint64_t> all;
  auto sum = [&](const std::string& name, auto read) { all[name] = rig.sum(read); };
  for (int i = 0; i < ipvs::kDropReasons; i++)
    sum("dropped " + std::string(ipvs::name(static_cast<ipvs::DropReason>(i))),
        [i](const auto& c) { return c.dropped[static_cast<size_t>(i)].get(); });
  sum("received", [](const auto& c) { return c.received.get(); });
  sum("forwarded", [](const auto& c) { return c.forwarded.get(); });
  sum("kernel", [](const auto& c) { return c.kernel.get(); });
  sum("generated", [](const auto& c) { return c.generated.get(); });
  sum("held", [](const auto& c) { return c.held.get(); });
  sum("sessions", [](const auto& c) { return c.sessions_v4.get() + c.sessions_v6.get(); });
  sum("stateless", [](const auto& c) { return c.stateless.get(); });
  sum("evicted", [](const auto& c) { return c.evicted.get(); });
  sum("rx bytes", [](const auto& c) { return c.ports[0].rx_bytes.get(); });
  sum("tx bytes", [](const auto& c) { return c.ports[0].tx_bytes.get(); });
  sum("tx packets", [](const auto& c) { return c.ports[0].tx_packets.get(); });
  for (uint32_t id = 0; id < kComparedServers; id++) {
    const std::string server = "server " + std::to_string(id) + " ";
    sum(server + "connections", [id](const auto& c) { return c.servers[id].connections.get(); });
    sum(server + "in packets", [id](const auto& c) { return c.servers[id].in_packets.get(); });
    sum(server + "in bytes", [id](const auto& c) { return c.servers[id].in_bytes.get(); });
    sum(server + "out packets", [id](const auto& c) { return c.servers[id].out_packets.get(); });
    sum(server + "out bytes", [id](const auto& c) { return c.servers[id].out_bytes.get(); });
    sum(server + "active", [id](const auto& c) { return c.loads[id].active.get(); });
    sum(server + "inactive", [id](const auto& c) { return c.loads[id].inactive.get(); });
    sum(server + "all", [id](const auto& c) { return c.loads[id].sessions.get(); });
    all[server + "overloaded"] = rig.board->limits.rows()[id].overloaded.load();
  }
  return all;
}

/// What differs.
inline std::string difference(const std::map<std::string, uint64_t>& fast,
                              const std::map<std::string, uint64_t>& slow) {
  std::string text;
  for (const auto& [name, value] : fast)
    if (slow.at(name) != value)
      text += name + ": " + std::to_string(value) + " for " + std::to_string(slow.at(name)) + "; ";
  return text;
}

/// Of all next hops those that were used since the last call.
inline std::set<std::string> used_hops(Rig& rig) {
  std::set<std::string> used;
  share::NextHops& hops = *rig.board->next_hops;
  for (uint32_t row = 0; row < hops.row_limit(); row++)
    if (const uint32_t id = hops.id_of(row); id != share::kNoNextHop && hops.take_used(id))
      used.insert(to_string(hops.address(id)));
  return used;
}

/// What became of packets, and why, of the batches for which it is on.
class Notes {
 public:
  void take(dataplane::Worker& worker, bool on) {
    worker.fates = on ? x_fates.data() : nullptr;
    worker.fates_room = static_cast<unsigned>(x_fates.size());
    worker.fates_count = 0;
  }
  using Note = std::tuple<int, int, int, bool, uint32_t, uint32_t, int32_t, int>;
  std::vector<Note> of(const dataplane::Worker& worker) const {
    std::vector<Note> notes;
    for (unsigned i = 0; worker.fates && i < worker.fates_count; i++) {
      const dataplane::Meta& m = x_fates[i].meta;
      notes.emplace_back(x_fates[i].lane, static_cast<int>(x_fates[i].reason),
                         static_cast<int>(m.why), m.is_reply, m.server_id, m.service_id, m.slot,
                         m.port_out);
    }
    std::sort(notes.begin(), notes.end());
    return notes;
  }

 private:
  std::vector<dataplane::Fate> x_fates{2048};
};

}  // namespace shunt::test
