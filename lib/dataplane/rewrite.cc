// rewrite: the packet becomes what its server or client must see. NAT edits addresses and ports,
// direct routing keeps the packet; the hop limit falls by one in every method, as in IPVS.
#include "dataplane/stages.h"
#include "net/edit.h"

namespace shunt::dataplane {

namespace {

/// The tuple a packet of this direction has after translation.
template <class F>
net::Tuple<F> translated(const Session<F>& session, bool is_reply) {
  return is_reply ? session.request.reversed() : session.reply.reversed();
}

template <class F>
void translate_flow(rte_mbuf* packet, const Meta& m, const Session<F>& session) {
  net::Tuple<F> to = translated<F>(session, m.is_reply);
  net::Translation<F> translation{to.source,
                                  to.destination,
                                  to.source_port,
                                  to.destination_port,
                                  m.is_reply ? session.out_address_delta : session.in_address_delta,
                                  m.is_reply ? session.out_port_delta : session.in_port_delta};
  net::translate<F>(bytes(packet), m.parsed, translation);
}

/// An error about a packet of the other direction. Towards the server only its destination changes
/// (the router that speaks keeps its address); towards the client it comes from the virtual
/// address.
template <class F>
void translate_error(rte_mbuf* packet, const Meta& m, const Session<F>& session) {
  net::Tuple<F> embedded = m.tuple<F>().reversed();
  net::Tuple<F> becomes = translated<F>(session, m.is_reply).reversed();
  net::Translation<F> inner = net::make_translation<F>(embedded, becomes);
  const auto* ip = reinterpret_cast<const typename F::Header*>(bytes(packet) + m.parsed.l3_offset);
  typename F::Address source = m.is_reply ? session.request.destination : ip->source;
  typename F::Address destination = becomes.source;
  net::translate_icmp_error<F>(bytes(packet), m.parsed, inner, source, destination);
}

}  // namespace

template <class F>
void rewrite(Worker& worker, const Burst& routed) {
  for (unsigned i = 0; i < routed.n; i++) {
    rte_mbuf* packet = routed.packets[i];
    const Meta& m = meta(packet);
    const Session<F>& session = worker.sessions<F>().at(m.session);
    if (session.method == ipvs::ForwardMethod::kMasquerade) {
      if (m.parsed.kind == net::Kind::kIcmpError)
        translate_error<F>(packet, m, session);
      else
        translate_flow<F>(packet, m, session);
    }
    net::lower_hop_limit<F>(bytes(packet), m.parsed);
  }
}

template void rewrite<net::V4>(Worker&, const Burst&);
template void rewrite<net::V6>(Worker&, const Burst&);

}  // namespace shunt::dataplane
