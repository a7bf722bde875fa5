// rr: the servers in turn, in list order (added last comes first), the unusable ones left out.
//
// The kernel's cursor is a node of the server list (ip_vs_rr.c): servers added at the head do not
// move it, and when its server is removed it steps back, so that the next pick is the server that
// came after. A worker's cursor is the server's id; it takes its steps back when it picks next, as
// the service remembers its removals.
#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

/// Steps back for every removal of the cursor's server that this worker has not seen yet.
void catch_up(const Service& service, SchedulerState& state) {
  const auto remembered = static_cast<uint32_t>(service.removals.size());
  uint32_t unseen = service.removed - state.removed;
  if (unseen > remembered) unseen = remembered;  // what is forgotten may have been the cursor's
  for (uint32_t i = remembered - unseen; i < remembered; i++)
    if (service.removals[i].server == state.last_server)
      state.last_server = service.removals[i].before;
  state.removed = service.removed;
}

/// Where the turn goes on: an index, possibly one past the end.
uint32_t next_index(const std::vector<Server>& servers, const SchedulerState& state) {
  if (state.last_server == kNoServer) return 0;
  const auto size = static_cast<uint32_t>(servers.size());
  const uint32_t guess = size - 1 - state.followers;  // additions at the head do not change it
  if (guess < size && servers[guess].id == state.last_server) return guess + 1;
  for (uint32_t i = 0; i < size; i++)
    if (servers[i].id == state.last_server) return i + 1;
  return 0;
}

Pick pick(const Service& service, SchedulerState& state, const Flow&, const Now& now) {
  const auto& servers = service.servers;
  const auto size = static_cast<uint32_t>(servers.size());
  catch_up(service, state);
  uint32_t index = next_index(servers, state);
  for (uint32_t seen = 0; seen < size; seen++, index++) {
    if (index >= size) index = 0;
    if (!now.loads.is_usable(servers[index])) continue;
    state.last_server = servers[index].id;
    state.followers = size - 1 - index;
    return {.index = static_cast<int32_t>(index)};
  }
  return {};
}

}  // namespace

constinit const Scheduler kRoundRobin = {"rr", build_no_table, pick};

}  // namespace shunt::ipvs
