// resolve: next hop → MAC addresses. What cannot be resolved yet is held while Linux is asked.
#include "dataplane/stages.h"

namespace shunt::dataplane {

bool try_resolve(Worker& worker, rte_mbuf* packet) {
  Meta& m = meta(packet);
  if (m.hop == kNoHop) {
    uint32_t id = worker.board.next_hops->find(m.port_out, m.hop_address);
    if (id == share::kNoNextHop) return false;
    m.hop = id;
  }
  share::NextHop hop = worker.board.next_hops->get(m.hop);
  if (hop.state != share::NextHop::kReachable) return false;
  worker.board.next_hops->touch(m.hop);
  auto* ethernet = reinterpret_cast<net::EthernetHeader*>(bytes(packet));
  ethernet->destination = hop.mac;
  ethernet->source = worker.ports[hop.port].mac;
  worker.send(packet, hop.port);
  return true;
}

void resolve(Worker& worker, const Burst& routed) {
  for (unsigned i = 0; i < routed.n; i++) {
    rte_mbuf* packet = routed.packets[i];
    if (meta(packet).to_twin)
      worker.to_own_server(packet);
    else if (!try_resolve(worker, packet))
      worker.hold(packet);
  }
}

}  // namespace shunt::dataplane
