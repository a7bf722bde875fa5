// identify: fragments are put together before anything else is decided about them, as in Linux.
// What is whole takes the lane that classify gives it.
//
// Fragments go first to the worker that FragmentKey's hash names. Those of protocols that are not
// balanced, and all where the family has no services, are Linux's at once.
#include "dataplane/ingress.h"
#include "dataplane/stages.h"
#include "net/fragment.h"

namespace shunt::dataplane {

namespace {

/// May a session take a packet of this protocol? Under IPv6 only the first fragment says what
/// follows extension headers, and Linux puts all of them together.
bool concerns_flows(const net::Parsed& parsed) {
  if (parsed.family == Family::kV6) return true;
  switch (parsed.protocol) {
    case net::kIcmp:
    case net::kTcp:
    case net::kUdp:
    case net::kSctp:
    case net::kEsp:
    case net::kAh:
      return true;
    default:
      return false;
  }
}

/// Fragments of AH and ESP from a masqueraded server are translated one by one (dont_defrag in
/// ip_vs_proto_ah_esp.c); those of clients Linux has put together before.
bool is_reply_alone(const Worker& worker, const Meta& m) {
  if (m.parsed.family == Family::kV6) return false;
  if (m.parsed.protocol != net::kEsp && m.parsed.protocol != net::kAh) return false;
  constexpr uint16_t kIsakmp = 500;
  return worker.services->is_masqueraded_server<net::V4>(net::kUdp, m.v4.source, be16(kIsakmp));
}

/// An atomic fragment is whole (RFC 6946); its fragment header goes, as in Linux.
void make_whole(rte_mbuf* packet) {
  Meta& m = meta(packet);
  const uint32_t id = m.parsed.fragment_id;
  const size_t l3 = m.parsed.l3_offset, length = m.parsed.ip_end - l3;
  const auto& ip = net::header_at<net::Ipv6Header>(bytes(packet), l3);
  const auto ecn = static_cast<uint8_t>(ip.version_class_flow.host() >> 20 & 3);
  size_t gone = net::make_whole<net::V6>(bytes(packet), m.parsed, ecn, false);
  rte_pktmbuf_adj(packet, static_cast<uint16_t>(gone));
  net::set_length<net::V6>(bytes(packet), l3, length - gone);
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.parsed.fragment_id = id;
}

/// Does Linux drop this fragment of a packet to a local address? What it forwards may be an answer
/// of a server's, and is looked at when it is whole.
template <class F>
bool refuse(Worker& worker, rte_mbuf* packet) {
  const Meta& m = meta(packet);
  if (!worker.routes->is_local(Address(m.tuple<F>().destination))) return false;
  return refuse_source<F>(worker, packet) ||
         (has_options<F>(packet, m.parsed) && refuse_options<F>(worker, packet, false));
}

void identify_one(Worker& worker, rte_mbuf* packet, Burst& v4, Burst& v6) {
  Meta& m = meta(packet);
  const bool four = m.parsed.family == Family::kV4;
  if (!concerns_flows(m.parsed) || !worker.services->has_family(m.parsed.family))
    return worker.to_kernel(packet);
  // One by one, before they wait for the others of their packet.
  if (m.parsed.kind == net::Kind::kFragment && !m.from_twin &&
      (four ? refuse<net::V4>(worker, packet) : refuse<net::V6>(worker, packet)))
    return;
  if (m.parsed.fragment_offset == 0 && !m.parsed.more_fragments) {
    make_whole(packet);
    return sort(worker, packet, v4, v6);
  }
  if (four && is_reply_alone(worker, m)) {
    constexpr uint16_t kIsakmp = 500;
    m.parsed.kind = net::Kind::kIpsec;
    m.v4.source_port = m.v4.destination_port = be16(kIsakmp);
    m.v4.protocol = net::kUdp;
    return v4.add(packet);
  }
  if (worker.settings.workers > 1) {
    const uint64_t hash = FragmentKey::of(m).hash(worker.board.owner_keys.fragments);
    auto owner = static_cast<unsigned>(((hash >> 32) * worker.settings.workers) >> 32);
    if (owner != worker.settings.number) return send_to_owner(worker, packet, owner);
  }
  if (rte_mbuf* whole = worker.reassembly.add(worker, packet)) sort(worker, whole, v4, v6);
}

}  // namespace

void identify(Worker& worker, const Burst& burst, Burst& v4, Burst& v6) {
  for (unsigned i = 0; i < burst.n; i++) identify_one(worker, burst.packets[i], v4, v6);
}

}  // namespace shunt::dataplane
