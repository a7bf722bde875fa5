#include "dataplane/server_ways.h"

#include "dataplane/make_way.h"

namespace shunt::dataplane {

bool make_good(Worker& worker, const Session<net::V6>& session) noexcept {
  const uint32_t id = session.server_id;
  FlowWay made{};
  uint64_t hop;
  if (session.routes_generation != worker.routes->generation() ||
      !worker.board.configured.has(id) || !lead_to(worker, session.hop_in, made, hop))
    return false;
  worker.board.next_hops->touch(session.hop_in);
  ServerWay& way = worker.server_ways[id];
  way.mtu = made.mtu;
  way.port = made.port;
  way.hop = hop_of(session);
  way.packets = &worker.counters.servers[id].in_packets;
  way.head = made.head;
  way.tail = made.tail;
  way.revision = worker.sessions_v6->plans().revision();
  return true;
}

}  // namespace shunt::dataplane
