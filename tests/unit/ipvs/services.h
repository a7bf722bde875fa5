// Services for tests, put together as the control thread does: the server added last comes first.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "ipvs/scheduler.h"
#include "ipvs/service_table.h"
#include "net/headers.h"

namespace shunt::ipvs {

inline Service service_at(std::string_view address, uint16_t port, uint8_t protocol = net::kTcp) {
  Service service;
  service.key.protocol = protocol;
  service.key.endpoint = {*parse_address(address), port};
  return service;
}

inline Server server_at(uint32_t id, std::string_view address, uint16_t port, int32_t weight = 1) {
  Server server;
  server.id = id;
  server.endpoint = {*parse_address(address), port};
  server.method = ForwardMethod::kMasquerade;
  server.weight = server.last_weight = weight;
  return server;
}

/// What control does when the servers or the scheduler have changed.
inline void note(Service& service) {
  if (!service.scheduler || !service.scheduler->note) return;
  std::vector<int32_t> weights;
  for (const Server& server : service.servers) weights.push_back(server.weight);
  service.scheduler->note(service.history, weights);
}

/// Once it has its scheduler: history and memory begin.
inline void begin(Service& service, unsigned workers = 1) {
  service.history = {};
  note(service);
  SchedulerSettings settings;
  settings.workers = workers;
  if (service.scheduler->make_memory)
    if (auto memory = service.scheduler->make_memory(settings)) service.memory = *memory;
}

inline void add(Service& service, Server server) {
  service.servers.insert(service.servers.begin(), std::move(server));
  note(service);
}

inline void remove(Service& service, uint32_t id) {
  auto server = std::ranges::find(service.servers, id, &Server::id);
  if (server == service.servers.end()) return;
  uint32_t before = server == service.servers.begin() ? kNoServer : std::prev(server)->id;
  service.removals.push_back({id, before});
  if (service.removals.size() > kRemovals) service.removals.erase(service.removals.begin());
  service.removed++;
  service.servers.erase(server);
  note(service);
}

inline void set_weight(Service& service, uint32_t id, int32_t weight) {
  for (Server& server : service.servers) {
    if (server.id != id) continue;
    server.weight = weight;
    if (weight) server.last_weight = weight;
  }
  note(service);
}

/// The id of the picked server, 0 for none.
inline uint32_t picked(const Service& service, const Pick& pick) {
  return pick.index == Pick::kNoPick ? 0 : service.servers[pick.index].id;
}

/// What servers have to do, as a test sets it: ids below kServers, one worker.
class TestLoads {
 public:
  static constexpr uint32_t kServers = 1u << 14;

  TestLoads() {
    EXPECT_TRUE(x_loads.add_worker(x_rows.data()));
    for (ServerLimits& limits : x_limits) limits.upper = 1;  // a mark without a limit means nothing
  }
  ServerLoad& operator[](uint32_t id) { return x_rows[id]; }
  ServerLimits& limits(uint32_t id) { return x_limits[id]; }
  Now now(uint64_t nanoseconds = 0) const { return {x_loads, knobs, nanoseconds}; }
  SharedKnobs knobs;

 private:
  std::vector<ServerLoad> x_rows{kServers};
  std::vector<ServerLimits> x_limits{kServers};
  Loads x_loads{x_limits.data()};
};

/// Nobody has anything to do.
inline Now idle() {
  static const TestLoads loads;
  return loads.now();
}

}  // namespace shunt::ipvs
