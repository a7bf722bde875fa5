// rr: the servers in turn, in list order (added last comes first), the unusable ones left out.
//
// The kernel's cursor is a node of the server list (ip_vs_rr.c): servers added at the head do not
// move it, and when its server is removed it steps back, so that the next pick is the server that
// came after. A worker's cursor sees only the list as it is now, so it remembers the server picked
// last and how many servers followed it: additions at the head do not change that number. This is
// the kernel's pick after any one edit; only when the server picked last is removed together with
// other edits, between two picks of one worker, may the turn begin a server or so elsewhere.
#include "ipvs/scheduler.h"

namespace shunt::ipvs {
namespace {

constexpr uint32_t kAbsent = UINT32_MAX;

uint32_t index_of(const std::vector<Server>& servers, uint32_t id, uint32_t guess) {
  if (guess < servers.size() && servers[guess].id == id) return guess;
  for (uint32_t i = 0; i < servers.size(); i++)
    if (servers[i].id == id) return i;
  return kAbsent;
}

/// Where the turn goes on: an index, possibly one past the end.
uint32_t next_index(const std::vector<Server>& servers, const SchedulerState& state) {
  if (state.last_server == kNoServer) return 0;
  const auto size = static_cast<uint32_t>(servers.size());
  uint32_t last = index_of(servers, state.last_server, size - 1 - state.followers);
  // With more followers than before it was removed and added again: its old place counts.
  if (last != kAbsent && size - 1 - last <= state.followers) return last + 1;
  return size > state.followers ? size - state.followers : 0;
}

Result<void> build(Service& service) {
  service.table.clear();
  return {};
}

Pick pick(const Service& service, SchedulerState& state, const Flow&, const Now& now) {
  const auto& servers = service.servers;
  const auto size = static_cast<uint32_t>(servers.size());
  if (size == 0) state = {};  // an empty list leaves the kernel's cursor at its head
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

constinit const Scheduler kRoundRobin = {"rr", build, pick};

}  // namespace shunt::ipvs
