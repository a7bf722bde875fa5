// clamp: lowers the segment size that the ends of a TCP connection announce, where a rule says so
// for the service (ipvs/mss_clamp.h). Between route and rewrite, and only while there are rules;
// what is no SYN is not looked at, and no packet leaves the line here.
#include "dataplane/stages.h"
#include "net/encapsulate.h"
#include "net/mss.h"

namespace shunt::dataplane {

namespace {

constexpr uint32_t kNoLimit = UINT16_MAX;

/// Bytes of the longest IP packet on the way to an address; kNoLimit: there is none, or the address
/// is of Linux itself.
uint32_t mtu_to(const Worker& worker, const Address& to) {
  const share::Route* way = worker.routes->is_own(to) ? nullptr : worker.routes->lookup(to);
  if (!way) return kNoLimit;
  const uint32_t mtu = worker.ports[way->port].mtu;
  return way->mtu != 0 && way->mtu < mtu ? way->mtu : mtu;
}

/// The same on a session's way: to its server and, where answers come back through here, to its
/// client.
template <class F>
uint32_t mtu_of(Worker& worker, const Session<F>& session) {
  if (session.method == ipvs::ForwardMethod::kTunnel) {
    const TunnelWay* way = tunnel_way(worker, session.server_id);
    if (!way || way->is_own) return kNoLimit;
    const net::Tunnel tunnel = worker.board.far_ends.tunnel(session.server_id);
    const auto overhead = static_cast<uint32_t>(net::tunnel_overhead(tunnel, way->source.family));
    return way->mtu - std::min(way->mtu, overhead);
  }
  const uint32_t mtu = mtu_to(worker, session.reply.source);
  if (session.method != ipvs::ForwardMethod::kMasquerade) return mtu;
  return std::min(mtu, mtu_to(worker, session.request.source));
}

/// Bytes of data in the longest segment; 0: as many as the ends want.
template <class F>
uint16_t most_of(Worker& worker, const Session<F>& session) {
  const uint16_t size = worker.board.server_mss.of(session.server_id);
  if (size != ipvs::MssClamp::kAuto) return size;
  constexpr uint32_t kHeaders = sizeof(typename F::Header) + sizeof(net::TcpHeader);
  const uint32_t mtu = mtu_of<F>(worker, session);
  return static_cast<uint16_t>(mtu - std::min(mtu, kHeaders));
}

bool is_handshake(const net::Parsed& parsed) {
  return parsed.kind == net::Kind::kFlow && parsed.protocol == net::kTcp &&
         (parsed.tcp_flags & net::TcpHeader::kSyn);
}

}  // namespace

template <class F>
void clamp(Worker& worker, const Burst& routed) {
  for (unsigned i = 0; i < routed.n; i++) {
    rte_mbuf* packet = routed.packets[i];
    const Meta& m = meta(packet);
    if (!is_handshake(m.parsed)) continue;
    const uint16_t most = most_of<F>(worker, worker.sessions<F>().at(m.session));
    if (most == 0) continue;
    const uint32_t end = packet->nb_segs > 1 ? packet->data_len : m.parsed.ip_end;
    if (net::lower_mss(bytes(packet) + m.parsed.l4_offset, end - m.parsed.l4_offset, most))
      worker.counters.clamped.add(1);
  }
}

template void clamp<net::V4>(Worker&, const Burst&);
template void clamp<net::V6>(Worker&, const Burst&);

}  // namespace shunt::dataplane
