// encapsulate: the way to a tunnel's far end, and the outer headers of what goes there.
//
// A way has what IPVS takes from the route it remembers for a server (dest_dst): next hop, MTU and
// the source address of outer packets.
#include "net/encapsulate.h"

#include "dataplane/datagram.h"
#include "dataplane/stages.h"
#include "net/siphash.h"

namespace shunt::dataplane {

namespace {

/// The source ports of GUE: where the kernel's own local ports begin, and how many there are
/// (net.ipv4.ip_local_port_range; udp_flow_src_port, net/udp.h).
constexpr uint32_t kFirstPort = 32768, kPorts = 60999 - 32768;

void look_up(Worker& worker, const Address& to, TunnelWay& way) {
  way = {};
  way.generation = worker.routes->generation();
  way.changes = worker.tunnel_ways.mtus.changes();
  if (worker.routes->is_own(to)) {
    way.exists = way.is_own = true;
    return;
  }
  const share::Route* route = worker.routes->lookup(to);
  if (!route || !route->source || route->source->family != to.family) return;
  way.exists = true;
  way.port = route->port;
  way.source = *route->source;
  way.ids = worker.tunnel_ids.place_of(to);
  way.next = route->gateway ? *route->gateway : to;
  way.mtu = worker.ports[route->port].mtu;
  if (route->mtu != 0 && route->mtu < way.mtu) way.mtu = route->mtu;
  if (const PathMtus::Known* known = worker.tunnel_ways.mtus.find(to, worker.now);
      known && known->mtu < way.mtu) {
    way.mtu = known->mtu;
    way.until = known->until;
  }
}

/// One port for each flow, as far from others' as a hash can have it.
template <class F>
be16 source_port(const Worker& worker, const net::Tuple<F>& tuple) {
  const uint64_t hash = net::siphash<1, 3>(&tuple, sizeof tuple, worker.settings.secrets.gue_ports);
  return be16(static_cast<uint16_t>(kFirstPort + ((hash >> 32) * kPorts >> 32)));
}

template <class Outer, class F>
void put_headers(Worker& worker, rte_mbuf* packet, const TunnelWay& way, const Address& far_end,
                 const net::Tunnel& tunnel) {
  Meta& m = meta(packet);
  const uint32_t size = ip_length(packet, m.parsed);
  net::OuterEnds<Outer> ends;
  ends.source = net::address_of<Outer>(way.source);
  ends.destination = net::address_of<Outer>(far_end);
  ends.source_port =
      tunnel.type == net::TunnelType::kGue ? source_port<F>(worker, m.tuple<F>()) : be16(0);
  ends.id = worker.tunnel_ids.next(way.ids);
  ends.may_copy_df = worker.board.knobs.of(ipvs::Knob::kPmtuDisc) != 0;
  // What Ethernet padded is no part of the packet.
  if (packet->nb_segs == 1)
    rte_pktmbuf_trim(packet, static_cast<uint16_t>(packet->data_len - m.parsed.ip_end));
  const uint32_t sum = tunnel.has_checksum ? sum_of(packet, m.parsed.l3_offset, size) : 0;
  const auto overhead = static_cast<uint16_t>(net::tunnel_overhead(tunnel, Outer::family));
  rte_pktmbuf_prepend(packet, overhead);
  net::encapsulate<Outer, F>(bytes(packet), size, sum, tunnel, ends);
  // From here on it is the outer packet that goes its way; the tuple stays.
  m.parsed.kind = net::Kind::kEncapsulated;
  m.parsed.family = Outer::family;
  m.parsed.l4_offset = static_cast<uint16_t>(m.parsed.l3_offset + sizeof(typename Outer::Header));
  m.parsed.ip_end = static_cast<uint16_t>(m.parsed.l3_offset + size + overhead);
  // Linux has merged fragments of IPv4 by now, where it can, and those of IPv6 not.
  if constexpr (F::family == Family::kV4) m.parts_moved = true;
  // What Linux knows of the fragments' lengths is lost between the families.
  if constexpr (Outer::family != F::family) m.largest_part = 0;
}

}  // namespace

const TunnelWay* tunnel_way(Worker& worker, uint32_t server_id) {
  TunnelWay& way = worker.tunnel_ways.of(server_id);
  if (way.generation != worker.routes->generation() ||
      way.changes != worker.tunnel_ways.mtus.changes() ||
      (way.until != 0 && way.until <= worker.now))
    look_up(worker, worker.board.far_ends.address(server_id), way);
  if (!way.exists) return nullptr;
  if (!way.is_own && !is_known_hop(worker, way.hop)) {
    uint32_t id = worker.board.next_hops->find(way.port, way.next);
    way.hop = id == share::kNoNextHop ? kNoHop : id;
  }
  return &way;
}

template <class F>
void encapsulate(Worker& worker, rte_mbuf* packet, uint32_t server_id) {
  const TunnelWay& way = worker.tunnel_ways.of(server_id);
  const Address& far_end = worker.board.far_ends.address(server_id);
  const net::Tunnel tunnel = worker.board.far_ends.tunnel(server_id);
  if (far_end.is_v4())
    put_headers<net::V4, F>(worker, packet, way, far_end, tunnel);
  else
    put_headers<net::V6, F>(worker, packet, way, far_end, tunnel);
}

template void encapsulate<net::V4>(Worker&, rte_mbuf*, uint32_t);
template void encapsulate<net::V6>(Worker&, rte_mbuf*, uint32_t);

}  // namespace shunt::dataplane
