// relay: ICMP errors of routers inside a tunnel, told to the client whose request was in it, from
// the virtual address. A path MTU is remembered first. (ip_vs_in_icmp, ip_vs_core.c, 6.1)
#include "dataplane/stages.h"
#include "net/checksum.h"
#include "net/tunnel_error.h"

namespace shunt::dataplane {

namespace {

using net::V4;

constexpr uint8_t kUnreachable = 3, kFragmentationNeeded = 4;
/// Bytes: an MTU not above it is told as it is (ip_vs_in_icmp: 68 and an IPv4 header).
constexpr uint32_t kSmallMtu = 68 + sizeof(net::Ipv4Header);

bool is_sound(const uint8_t* frame, const net::Parsed& parsed) {
  const size_t size = parsed.ip_end - parsed.l4_offset;
  return net::checksum_finish(net::checksum_add(frame + parsed.l4_offset, size)) == 0;
}

/// Is it about a packet of ours to this server, of the kind it gets? Its outer addresses have to be
/// the director's, as tunnels use it now, and the server's.
bool fits(Worker& worker, const net::TunnelError& error, uint32_t server_id) {
  const TunnelWay* way = tunnel_way(worker, server_id);
  if (!way || way->source != Address(error.near_end) || !worker.board.configured.has(server_id))
    return false;
  const net::Tunnel tunnel = worker.board.far_ends.tunnel(server_id);
  return worker.board.far_ends.address(server_id) == Address(error.far_end) &&
         tunnel.type == error.type &&
         (error.type != net::TunnelType::kGue || tunnel.port == error.port);
}

/// Remembers the path MTU; what the client is told of it. The route that the server had so far
/// counts, which does not know it yet, unless one was known before: then the kernel changes that.
/// `reason` is changed if it was not believed.
uint32_t learn(Worker& worker, const net::TunnelError& error, uint32_t mtu, uint32_t server_id,
               ipvs::DropReason& reason) {
  const Address to(error.far_end);
  PathMtus& mtus = worker.tunnel_ways.mtus;
  const bool known = mtus.find(to, worker.now) != nullptr;
  const TunnelWay* way = tunnel_way(worker, server_id);
  const uint32_t before = way ? way->mtu : mtu;
  if ((!way || mtu <= before) && !mtus.learn(to, mtu, worker.now))
    reason = ipvs::DropReason::kPathMtuRate;
  if (known) way = tunnel_way(worker, server_id);
  return known && way ? way->mtu : before;
}

}  // namespace

void relay(Worker& worker, rte_mbuf* packet, const Session<V4>& session) {
  const Meta& m = meta(packet);
  const auto error = net::parse_tunnel_error(bytes(packet), m.parsed);
  if (!error || session.method != ipvs::ForwardMethod::kTunnel ||
      !fits(worker, *error, session.server_id))
    return worker.to_kernel(packet);
  if (!is_sound(bytes(packet), m.parsed))
    return worker.drop(packet, ipvs::DropReason::kTunnelError);

  ipvs::DropReason reason = ipvs::DropReason::kTunnelError;
  const auto& icmp = net::header_at<net::IcmpHeader>(bytes(packet), m.parsed.l4_offset);
  net::IcmpMessage message{icmp.type, icmp.code, icmp.rest.host()};
  if (icmp.type == kUnreachable && icmp.code == kFragmentationNeeded) {
    uint32_t mtu = learn(worker, *error, message.rest & 0xffff, session.server_id, reason);
    // A client that lets its packets be fragmented needs not know.
    if (!error->dont_fragment) return worker.drop(packet, reason);
    // IPVS takes off an IPv4 header, whatever else the tunnel adds.
    if (mtu > kSmallMtu) mtu -= sizeof(net::Ipv4Header);
    message.rest = mtu;
  }
  answer_request(worker, packet, error->request, message, session);
  worker.drop(packet, reason);
}

}  // namespace shunt::dataplane
