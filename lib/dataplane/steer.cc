// steer: every flow has one owner, computable from requests, replies and ICMP errors alike.
//
// The owner is a hash of the client's endpoint: a request's source, a reply's destination. What
// comes from a masquerading service's server is taken for a reply first. A reply to a hidden client
// names its owner by the local port, of which each worker has its slice.
#include <rte_jhash.h>

#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

template <class F>
unsigned owner_of_client(const Worker& worker, const typename F::Address& address, be16 port) {
  uint32_t hash = rte_jhash(&address, sizeof address, worker.board.owner_seed + port.raw());
  return static_cast<unsigned>((uint64_t{hash} * worker.settings.workers) >> 32);
}

template <class F>
unsigned owner_of_reply(Worker& worker, const net::Tuple<F>& tuple) {
  uint16_t port = tuple.destination_port.host();
  const PortRange& range = worker.settings.local_ports;
  if (range.contains(port) && worker.routes->is_local(Address(tuple.destination)))
    return LocalPorts<F>::owner(range, worker.settings.workers, port);
  return owner_of_client<F>(worker, tuple.destination, tuple.destination_port);
}

template <class F>
unsigned owner(Worker& worker, Meta& m) {
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (!m.tried_as_reply && worker.services->template is_masqueraded_server<F>(
                               tuple.protocol, tuple.source, tuple.source_port)) {
    m.looks_like_reply = true;
    return owner_of_reply<F>(worker, tuple);
  }
  m.looks_like_reply = false;
  return owner_of_client<F>(worker, tuple.source, tuple.source_port);
}

}  // namespace

void send_to_owner(Worker& worker, rte_mbuf* packet, unsigned owner) {
  worker.counters.strays_out.add(1);
  if (!worker.board.desks[owner]->strays[worker.settings.number]->send(packet))
    worker.drop(packet, ipvs::DropReason::kMailboxFull);
}

template <class F>
void steer(Worker& worker, const Burst& burst, Burst& mine) {
  for (unsigned i = 0; i < burst.n; i++) {
    rte_mbuf* packet = burst.packets[i];
    unsigned to = owner<F>(worker, meta(packet));
    if (to == worker.settings.number)
      mine.add(packet);
    else
      send_to_owner(worker, packet, to);
  }
}

template <class F>
void steer_again(Worker& worker, const Burst& missed, Burst& mine) {
  for (unsigned i = 0; i < missed.n; i++) {
    rte_mbuf* packet = missed.packets[i];
    Meta& m = meta(packet);
    if (!m.looks_like_reply) {
      mine.add(packet);
      continue;
    }
    m.tried_as_reply = true;
    unsigned to = owner<F>(worker, m);
    if (to == worker.settings.number)
      mine.add(packet);
    else
      send_to_owner(worker, packet, to);
  }
}

template void steer<net::V4>(Worker&, const Burst&, Burst&);
template void steer<net::V6>(Worker&, const Burst&, Burst&);
template void steer_again<net::V4>(Worker&, const Burst&, Burst&);
template void steer_again<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
