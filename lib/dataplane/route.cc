// route: which port and next hop a session's packet leaves by, and whether it fits there.
//
// A session remembers the next hops of both its directions together with the generation of the
// routes they were found with; when routes have changed since, both are looked up again.
#include "dataplane/datagram.h"
#include "dataplane/stages.h"
#include "net/edit.h"

namespace shunt::dataplane {

namespace {

/// Fills meta's port_out, hop and hop_address. False: there is no route.
template <class F>
bool find_hop(Worker& worker, Session<F>& session, Meta& m) {
  uint32_t generation = worker.routes->generation();
  if (session.routes_generation != generation) {
    session.hop_in = session.hop_out = kNoHop;
    session.routes_generation = generation;
  }
  uint32_t& remembered = m.is_reply ? session.hop_out : session.hop_in;
  if (remembered != kNoHop) {
    m.hop = remembered;
    m.port_out = worker.board.next_hops->get(remembered).port;
    return true;
  }
  Address target(m.is_reply ? session.request.source : session.reply.source);
  const share::Route* way = worker.routes->lookup(target);
  if (!way) return false;
  m.port_out = way->port;
  m.hop_address = way->gateway ? *way->gateway : target;
  uint32_t id = worker.board.next_hops->find(way->port, m.hop_address);
  m.hop = remembered = id == share::kNoNextHop ? kNoHop : id;
  return true;
}

/// Is it too long for its way out, and may not be cut? Under IPv6 only what came in fragments may,
/// to fragments that are no longer; under IPv4 what has no DF, and errors on their way to the
/// server even with it. Where a server's fragments have DF, Linux does not make fragments of them
/// again. (ip_vs_xmit.c, __mtu_check_toobig_v6 and ip_vs_icmp_xmit; ip_output.c, ip_fragment)
template <class F>
bool is_too_big(rte_mbuf* packet, const Meta& m, uint32_t mtu) {
  const uint32_t length = ip_length(packet, m.parsed);
  if constexpr (F::family == Family::kV6) return (m.largest_part ? m.largest_part : length) > mtu;
  if (length <= mtu && m.largest_part == 0) return false;
  const auto& ip = net::header_at<net::Ipv4Header>(bytes(packet), m.parsed.l3_offset);
  if ((ip.fragment.host() & net::Ipv4Header::kDontFragment) == 0) return false;
  return m.is_reply || (length > mtu && m.parsed.kind != net::Kind::kIcmpError);
}

template <class F>
uint8_t hop_limit(rte_mbuf* packet, const net::Parsed& parsed) {
  const auto* ip = reinterpret_cast<const typename F::Header*>(bytes(packet) + parsed.l3_offset);
  return F::hop_limit(*ip);
}

}  // namespace

template <class F>
void route(Worker& worker, const Burst& live, Burst& routed) {
  for (unsigned i = 0; i < live.n; i++) {
    rte_mbuf* packet = live.packets[i];
    Meta& m = meta(packet);
    Session<F>& session = worker.sessions<F>().at(m.session);
    const typename F::Address& virtual_address = session.request.destination;
    if (hop_limit<F>(packet, m.parsed) <= 1) {
      answer<F>(worker, packet, net::IcmpError::kTimeExceeded, virtual_address);
      worker.drop(packet, ipvs::DropReason::kHopLimit);
      continue;
    }
    if (!find_hop<F>(worker, session, m)) {
      worker.drop(packet, ipvs::DropReason::kNoRoute);
      continue;
    }
    uint32_t mtu = worker.ports[m.port_out].mtu;
    if (is_too_big<F>(packet, m, mtu)) {
      // IPVS quotes a request with the hop already taken (__ip_vs_get_out_rt).
      if (!m.is_reply) net::lower_hop_limit<F>(bytes(packet), m.parsed);
      answer<F>(worker, packet, net::IcmpError::kTooBig, virtual_address, mtu);
      worker.drop(packet, ipvs::DropReason::kTooBig);
      continue;
    }
    routed.add(packet);
  }
}

template void route<net::V4>(Worker&, const Burst&, Burst&);
template void route<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
