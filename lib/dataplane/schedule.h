// Asks a service's scheduler about a flow.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

template <class F>
ipvs::Flow flow_of(const net::Tuple<F>& tuple) {
  return {ipvs::fold(tuple.source),
          ipvs::fold(tuple.destination),
          tuple.source_port.host(),
          tuple.destination_port.host(),
          tuple.protocol,
          sizeof tuple.source.bytes,
          tuple.source.bytes.data(),
          tuple.destination.bytes.data()};
}

/// Null if it has no server; `slot` is that of the scheduler's table. `is_quoted`: an ICMP error is
/// about the flow.
template <class F>
const ipvs::Server* schedule(Worker& worker, const ipvs::Service& service,
                             const net::Tuple<F>& request, bool is_quoted, int32_t& slot) {
  ipvs::SchedulerState& state = worker.scheduler_states[service.id];
  state.follow(service);
  ipvs::Flow flow = flow_of<F>(request);
  flow.is_quoted = is_quoted;
  ipvs::Pick pick =
      service.scheduler->pick(service, state, flow,
                              {worker.board.loads, worker.board.knobs, worker.now,
                               worker.settings.number, &worker.settings.secrets.schedulers});
  slot = pick.slot;
  return pick.index == ipvs::Pick::kNoPick ? nullptr : &service.servers[pick.index];
}

}  // namespace shunt::dataplane
