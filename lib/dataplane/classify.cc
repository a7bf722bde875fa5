// classify: what is this frame, and is it ours to look at?
#include "dataplane/stages.h"
#include "net/tunnel_error.h"

namespace shunt::dataplane {

namespace {

ipvs::DropReason drop_reason(net::Bad bad) {
  using ipvs::DropReason;
  switch (bad) {
    case net::Bad::kShortIp:
      return DropReason::kShortIp;
    case net::Bad::kIpLength:
      return DropReason::kIpLength;
    case net::Bad::kIpChecksum:
      return DropReason::kIpChecksum;
    case net::Bad::kShortTransport:
      return DropReason::kShortTransport;
    case net::Bad::kExtensions:
      return DropReason::kExtensions;
    case net::Bad::kShortFrame:
    case net::Bad::kNone:
      break;
  }
  return DropReason::kShortFrame;
}

/// The tuple of an ICMP error is the one its flow's own packets have in the error's direction.
void reverse_embedded(Meta& meta) {
  if (meta.parsed.family == Family::kV4)
    meta.v4 = meta.v4.reversed();
  else
    meta.v6 = meta.v6.reversed();
}

bool is_tunnel_error(const Worker& worker, const rte_mbuf* packet, Meta& m) {
  if (m.parsed.family != Family::kV4 || packet->nb_segs > 1) return false;
  return is_tunnel_error(worker, rte_pktmbuf_mtod(packet, const uint8_t*), m.parsed, m.v4);
}

}  // namespace

bool is_tunnel_error(const Worker& worker, const uint8_t* frame, net::Parsed& parsed,
                     net::Tuple<net::V4>& tuple) noexcept {
  if (parsed.family != Family::kV4 || parsed.protocol != net::kIcmp ||
      !worker.services->has_tunnels())
    return false;
  const auto error = net::parse_tunnel_error(frame, parsed);
  if (!error || !worker.routes->is_local(Address(error->near_end))) return false;
  if (error->type == net::TunnelType::kGue && !worker.services->has_tunnel_port(error->port))
    return false;
  parsed.kind = net::Kind::kTunnelError;
  tuple = error->tuple;
  return true;
}

void sort(Worker& worker, rte_mbuf* packet, Burst& v4, Burst& v6) {
  Meta& m = meta(packet);
  switch (m.parsed.kind) {
    case net::Kind::kBad:
      return worker.drop(packet, drop_reason(m.parsed.bad));
    case net::Kind::kOther:
      if (is_tunnel_error(worker, packet, m)) break;
      return worker.to_kernel(packet);
    case net::Kind::kFragment:
      return worker.to_kernel(packet);
    case net::Kind::kIcmpError:
      if (!is_tunnel_error(worker, packet, m)) reverse_embedded(m);
      break;
    case net::Kind::kFlow:
    case net::Kind::kIpsec:
    case net::Kind::kTunnelError:  // parse() says neither this nor the next
    case net::Kind::kEncapsulated:
      break;
  }
  (m.parsed.family == Family::kV4 ? v4 : v6).add(packet);
}

void classify(Worker& worker, const Burst& burst, Burst& v4, Burst& v6, Burst& fragments) {
  for (unsigned i = 0; i < burst.n; i++) {
    rte_mbuf* packet = burst.packets[i];
    Meta& m = meta(packet);
    if (packet->nb_segs > 1 && rte_pktmbuf_linearize(packet) != 0) {
      worker.drop(packet, ipvs::DropReason::kMultiSegment);
      continue;
    }
    const auto* ethernet = reinterpret_cast<const net::EthernetHeader*>(bytes(packet));
    if (packet->data_len < sizeof *ethernet) {
      worker.drop(packet, ipvs::DropReason::kShortFrame);
      continue;
    }
    if (ethernet->destination.is_multicast()) {
      worker.to_kernel(packet);
      continue;
    }
    if (!worker.takes(m.port_in, ethernet->destination.bytes.data())) {
      worker.drop(packet, ipvs::DropReason::kForeignMac);
      continue;
    }
    // In place: what was just written piece by piece is slow to copy. Only one tuple is filled.
    new (&m.parsed) net::Parsed(net::parse(bytes(packet), packet->data_len, m.v4, m.v6));
    if (m.parsed.kind == net::Kind::kFragment)
      fragments.add(packet);
    else
      sort(worker, packet, v4, v6);
  }
}

}  // namespace shunt::dataplane
