// resolve: next hop → MAC addresses. What cannot be resolved yet is held while Linux is asked.
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// How long a packet waits for its next hop at the most.
constexpr Nanoseconds kHoldFor = 3'000'000'000;

}  // namespace

bool try_resolve(Worker& worker, rte_mbuf* packet) {
  Meta& m = meta(packet);
  if (m.hop == kNoHop) {
    uint32_t id = worker.board.next_hops->find(m.port_out, m.hop_address);
    if (id == share::kNoNextHop) return false;
    m.hop = id;
  }
  share::NextHop hop = worker.board.next_hops->get(m.hop);
  if (!share::NextHops::is_known(hop, m.hop)) return false;
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

// Nothing is looked up again that no change can have resolved: a flood of held packets costs a turn
// nothing.
void Worker::retry_held(uint64_t changes) {
  if (changes == x_seen_changes && x_held.first_deadline() > now) return;
  const unsigned before = x_held.count();
  x_held.keep_if([this](rte_mbuf* packet) {
    if (try_resolve(*this, packet)) return false;
    if (meta(packet).held_until > now) return true;
    drop(packet, ipvs::DropReason::kHeldTooLong);
    return false;
  });
  counters.held.subtract(before - x_held.count());
}

// No held packet keeps the number of a next hop: it may be another's before the packet's time is
// over. In this turn it still names this one.
void Worker::hold(rte_mbuf* packet) {
  Meta& m = meta(packet);
  if (m.hop != kNoHop) m.hop_address = board.next_hops->address(m.hop);
  m.hop = kNoHop;
  const HeldPackets::Place place = x_held.find_place(m.hop_address, m.port_out, m.hop_is_client);
  if (place == HeldPackets::Place::kNone) return drop(packet, ipvs::DropReason::kUnresolved);
  if (place == HeldPackets::Place::kOverShare) return drop(packet, ipvs::DropReason::kHoldShare);
  if (place == HeldPackets::Place::kFirst &&
      !desk.hops_wanted->send(share::HopWanted{m.hop_address, m.port_out, !m.hop_is_client, 0}))
    return drop(packet, ipvs::DropReason::kUnresolved);
  m.held_until = now + kHoldFor;
  x_held.add(packet, m.hop_address, m.port_out, m.hop_is_client);
  counters.held.add(1);
}

}  // namespace shunt::dataplane
