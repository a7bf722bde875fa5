// Which service a packet that goes to a virtual address falls under.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// By its mark first, then by where it goes; null: none (ip_vs_service_find). Of an ICMP error,
/// that of the flow it is about.
template <class F>
const ipvs::Service* service_of(const Worker& worker, const Meta& m) {
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (!worker.board.marks.empty())
    if (uint32_t mark = worker.board.marks.template mark_of<F>(tuple, m.port_in))
      if (const ipvs::Service* service = worker.services->template find_marked<F>(mark))
        return service;
  return worker.services->template find<F>(tuple.protocol, tuple.destination,
                                           tuple.destination_port);
}

}  // namespace shunt::dataplane
