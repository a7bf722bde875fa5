// route: which port and next hop a session's packet leaves by, and whether it fits there.
//
// A session remembers the next hops of both its directions together with the generation of the
// routes they were found with; when routes have changed since, both are looked up again. So is a
// next hop that is not known any more (share/next_hops.h).
#include "dataplane/datagram.h"
#include "dataplane/stages.h"
#include "dataplane/swift.h"
#include "net/edit.h"
#include "net/encapsulate.h"

namespace shunt::dataplane {

namespace {

/// Bytes that a tunnel must leave for a packet (ip_vs_xmit.c).
constexpr uint32_t kLeastMtu4 = 68, kLeastMtu6 = 1280;

/// find_hop() of a request whose session does not know it.
template <class F>
bool find_server_hop(Worker& worker, Session<F>& session, Meta& m) {
  auto& server = worker.recent<F>().way(session.reply.source, *worker.routes);
  if (server.is_own) {
    m.to_twin = true;
    m.port_out = m.port_in;
    return true;
  }
  const share::Route* way = server.way;
  if (!way) return false;
  m.port_out = way->port;
  m.hop_address = way->gateway ? *way->gateway : Address(session.reply.source);
  if (!is_known_hop(worker, server.hop)) {
    const uint32_t id = worker.board.next_hops->find(way->port, m.hop_address);
    server.hop = id == share::kNoNextHop ? kNoHop : id;
  }
  m.hop = session.hop_in = server.hop;
  return true;
}

/// Fills meta's port_out, hop and hop_address, or to_twin. False: there is no route.
template <class F>
bool find_hop(Worker& worker, Session<F>& session, Meta& m) {
  uint32_t generation = worker.routes->generation();
  if (session.routes_generation != generation) {
    session.hop_in = session.hop_out = kNoHop;
    session.routes_generation = generation;
  }
  uint32_t& remembered = m.is_reply ? session.hop_out : session.hop_in;
  if (remembered != kNoHop) {
    const share::NextHop hop = worker.board.next_hops->get(remembered);
    if (share::NextHops::is_known(hop, remembered)) {
      m.hop = remembered;
      m.port_out = hop.port;
      return true;
    }
  }
  if (!m.is_reply) return find_server_hop<F>(worker, session, m);
  Address target(session.request.source);
  const share::Route* way = worker.routes->lookup(target);
  if (!way) return false;
  m.port_out = way->port;
  m.hop_address = way->gateway ? *way->gateway : target;
  m.hop_is_client = !way->gateway;
  uint32_t id = worker.board.next_hops->find(way->port, m.hop_address);
  m.hop = remembered = id == share::kNoNextHop ? kNoHop : id;
  return true;
}

/// The same for a request on its way into a tunnel.
template <class F>
bool find_way(Worker& worker, const Session<F>& session, Meta& m) {
  const TunnelWay* way = tunnel_way(worker, session.server_id);
  if (!way) return false;
  m.to_twin = way->is_own;
  m.port_out = way->is_own ? m.port_in : way->port;
  m.hop = way->hop;
  m.hop_address = way->next;
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

/// Who tells a packet's sender that it goes no further: to clients it is the virtual address. So it
/// is to servers whose fragments are put together, which IPVS has counted by then (ip_fragment).
template <class F>
typename F::Address speaker(const Worker& worker, const Meta& m, const Session<F>& session) {
  if (!m.is_reply || m.largest_part) return session.request.destination;
  return own_source<F>(worker, session.reply.source, session.request.destination);
}

/// A client is told that its server cannot be reached. (__ip_vs_get_out_rt, dst_link_failure)
template <class F>
void refuse_unroutable(Worker& worker, rte_mbuf* packet, const Session<F>& session) {
  const Meta& m = meta(packet);
  if (!m.is_reply && !m.from_twin)
    answer<F>(worker, packet, net::IcmpError::kHostUnreachable, session.request.destination);
  worker.drop(packet, ipvs::DropReason::kNoRoute);
}

/// Does it fit where it leaves? If not, it is gone, and its sender is told.
template <class F>
bool fits(Worker& worker, rte_mbuf* packet, const Session<F>& session, uint32_t mtu) {
  const Meta& m = meta(packet);
  if (!is_too_big<F>(packet, m, mtu)) return true;
  // IPVS quotes a request with the hop already taken (__ip_vs_get_out_rt).
  if (!m.is_reply) net::lower_hop_limit<F>(bytes(packet), m.parsed);
  // Linux on this side of the twin knows its own MTU.
  if (!m.from_twin)
    answer<F>(worker, packet, net::IcmpError::kTooBig, speaker<F>(worker, m, session), mtu);
  worker.drop(packet, ipvs::DropReason::kTooBig);
  return false;
}

template <class F>
bool lives_on(Worker& worker, rte_mbuf* packet, const Session<F>& session) {
  const Meta& m = meta(packet);
  if (hop_limit<F>(packet, m.parsed) > 1 || m.from_twin) return true;
  answer<F>(worker, packet, net::IcmpError::kTimeExceeded, speaker<F>(worker, m, session));
  worker.drop(packet, ipvs::DropReason::kHopLimit);
  return false;
}

/// The same for a request on its way into a tunnel. (__ip_vs_get_out_rt, ensure_mtu_is_adequate,
/// ip_vs_xmit.c)
template <class F>
bool fits_tunnel(Worker& worker, rte_mbuf* packet, const Session<F>& session) {
  Meta& m = meta(packet);
  const TunnelWay& way = worker.tunnel_ways.of(session.server_id);
  const bool is_v4 = way.source.family == Family::kV4;
  const auto overhead = static_cast<uint32_t>(
      net::tunnel_overhead(worker.board.far_ends.tunnel(session.server_id), way.source.family));
  const bool is_usable = way.mtu >= overhead + (is_v4 ? kLeastMtu4 : kLeastMtu6) &&
                         ip_length(packet, m.parsed) + overhead <= UINT16_MAX;
  if (!is_usable) {
    worker.drop(packet, ipvs::DropReason::kTooBig);
    return false;
  }
  if (rte_pktmbuf_headroom(packet) < overhead) {
    worker.drop(packet, ipvs::DropReason::kNoBuffer);
    return false;
  }
  m.path_mtu = static_cast<uint16_t>(way.mtu);
  if (F::family == Family::kV4 && worker.board.knobs.of(ipvs::Knob::kPmtuDisc) == 0) return true;
  return fits<F>(worker, packet, session, way.mtu - overhead);
}

}  // namespace

template <class F>
bool may_be_answer(Worker& worker, rte_mbuf* packet, Session<F>& session) {
  Meta& m = meta(packet);
  if (!lives_on<F>(worker, packet, session)) return false;
  const bool surely_fits = ip_length(packet, m.parsed) <= worker.least_mtu;
  if (surely_fits || m.largest_part || m.from_twin || !find_hop<F>(worker, session, m)) return true;
  return fits<F>(worker, packet, session, worker.ports[m.port_out].mtu);
}

template bool may_be_answer<net::V4>(Worker&, rte_mbuf*, Session<net::V4>&);
template bool may_be_answer<net::V6>(Worker&, rte_mbuf*, Session<net::V6>&);

template <class F>
void route(Worker& worker, const Burst& live, Burst& routed) {
  for (unsigned i = 0; i < live.n; i++) {
    rte_mbuf* packet = live.packets[i];
    Meta& m = meta(packet);
    Session<F>& session = worker.sessions<F>().at(m.session);
    const bool enters = session.method == ipvs::ForwardMethod::kTunnel && !m.is_reply;
    if (!(enters ? find_way<F>(worker, session, m) : find_hop<F>(worker, session, m))) {
      refuse_unroutable<F>(worker, packet, session);
      continue;
    }
    // Linux takes no hop from what it gets itself, nor has one taken from what it sends.
    if (m.to_twin) {
      routed.add(packet);
      continue;
    }
    if (!lives_on<F>(worker, packet, session)) continue;
    if (!(enters ? fits_tunnel<F>(worker, packet, session)
                 : fits<F>(worker, packet, session, worker.ports[m.port_out].mtu)))
      continue;
    routed.add(packet);
    // Tunnels have no express lane.
    if constexpr (F::family == Family::kV4)
      if (enters && worker.settings.express && m.parsed.kind == net::Kind::kFlow)
        speed_up(worker, m.session);
  }
}

template void route<net::V4>(Worker&, const Burst&, Burst&);
template void route<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
