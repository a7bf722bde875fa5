// rewrite: the packet becomes what its server or client must see. NAT edits addresses and ports,
// direct routing keeps the packet, a tunnel puts headers around it; the hop limit falls by one in
// every method, as in IPVS.
#include "dataplane/datagram.h"
#include "dataplane/stages.h"
#include "net/crc32c.h"
#include "net/edit.h"

namespace shunt::dataplane {

namespace {

/// The tuple a packet of this direction has after translation.
template <class F>
net::Tuple<F> translated(const Session<F>& session, bool is_reply) {
  return is_reply ? session.request.reversed() : session.reply_tuple().reversed();
}

/// The checksums that are made anew, of what is in several buffers: UDP without one gets one, and
/// SCTP's follows its ports.
template <class F>
void finish_checksum(rte_mbuf* packet, const Meta& m, const net::Tuple<F>& to) {
  const uint32_t size = ip_length(packet, m.parsed) - (m.parsed.l4_offset - m.parsed.l3_offset);
  uint8_t* transport = bytes(packet) + m.parsed.l4_offset;
  if (m.parsed.kind != net::Kind::kFlow) return;
  if (m.parsed.protocol == net::kUdp) {
    be16& checksum = net::header_at<net::UdpHeader>(transport, 0).checksum;
    if (checksum.raw() != 0) return;
    uint32_t sum = net::pseudo_header_sum(to.source, to.destination, net::kUdp, size);
    uint16_t made = net::checksum_finish(sum_of(packet, m.parsed.l4_offset, size, sum));
    net::checksum_store(checksum, made ? made : 0xffff);
  } else if (m.parsed.protocol == net::kSctp) {
    const net::Tuple<F>& from = m.tuple<F>();
    if (from.source_port == to.source_port && from.destination_port == to.destination_port) return;
    auto& sctp = net::header_at<net::SctpHeader>(transport, 0);
    std::memset(sctp.checksum, 0, sizeof sctp.checksum);
    uint32_t crc = 0;
    Reader(packet, m.parsed.l4_offset).next(size, [&crc](const uint8_t* bytes, uint32_t piece) {
      crc = net::crc32c(bytes, piece, crc);
    });
    for (uint8_t& byte : sctp.checksum) {
      byte = static_cast<uint8_t>(crc);
      crc >>= 8;
    }
  }
}

template <class F>
void translate_flow(rte_mbuf* packet, const Meta& m, const Session<F>& session) {
  net::Tuple<F> to = translated<F>(session, m.is_reply);
  net::Translation<F> translation{to.source,           to.destination,        to.source_port,
                                  to.destination_port, session.address_delta, session.port_delta};
  if (m.is_reply) {
    translation.address_delta = opposite_delta(session.address_delta);
    translation.port_delta = opposite_delta(session.port_delta);
  }
  if (packet->nb_segs == 1) return net::translate<F>(bytes(packet), m.parsed, translation);
  net::Parsed first = m.parsed;
  first.kind = net::Kind::kFragment;
  first.has_ports = m.parsed.kind == net::Kind::kFlow;
  first.more_fragments = true;
  net::translate<F>(bytes(packet), first, translation);
  finish_checksum<F>(packet, m, to);
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
  if (F::family == Family::kV4 || m.is_reply) return;
  // Its checksum was not looked at, and is made anew (ip_vs_nat_icmp_v6).
  auto& icmp = net::header_at<net::IcmpHeader>(bytes(packet), m.parsed.l4_offset);
  icmp.checksum.set(0);
  net::checksum_store(icmp.checksum, net::checksum_finish(icmp_sum<F>(packet, m.parsed)));
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
    if (m.to_twin) continue;
    if (!m.from_twin) net::lower_hop_limit<F>(bytes(packet), m.parsed);
    if (session.method == ipvs::ForwardMethod::kTunnel && !m.is_reply)
      encapsulate<F>(worker, packet, session.server_id);
  }
}

template void rewrite<net::V4>(Worker&, const Burst&);
template void rewrite<net::V6>(Worker&, const Burst&);

}  // namespace shunt::dataplane
