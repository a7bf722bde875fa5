// answer: ICMP errors the appliance makes, rate-limited, sent back the way the packet came, or, to
// whom a quoted packet came from, by the route there.
#include "dataplane/datagram.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// A packet of our own with these bytes; null: no buffer.
rte_mbuf* make(Worker& worker, const uint8_t* frame, size_t size) {
  rte_mbuf* packet = rte_pktmbuf_alloc(worker.pool);
  if (!packet) return nullptr;
  auto* to = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(packet, static_cast<uint16_t>(size)));
  if (!to) {
    rte_pktmbuf_free(packet);
    return nullptr;
  }
  std::memcpy(to, frame, size);
  new (&meta(packet)) Meta();
  meta(packet).generated = true;
  worker.counters.generated.add(1);
  return packet;
}

}  // namespace

template <class F>
void answer(Worker& worker, rte_mbuf* packet, net::IcmpError error,
            const typename F::Address& source, uint32_t mtu) {
  answer<F>(worker, packet, net::icmp_message<F>(error, mtu), source);
}

template <class F>
void answer(Worker& worker, rte_mbuf* packet, const net::IcmpMessage& message,
            const typename F::Address& source) {
  const Meta& about = meta(packet);
  uint8_t frame[net::kMaxIcmpErrorFrame<F>], beginning[net::kMaxIcmpErrorFrame<F>];
  const uint8_t* from = bytes(packet);
  net::Parsed parsed = about.parsed;
  if (packet->nb_segs > 1) {
    const uint32_t quotable = std::min<uint32_t>(sizeof beginning, packet->pkt_len);
    Reader(packet, 0).copy(beginning, quotable);
    parsed.ip_end = static_cast<uint16_t>(quotable);
    from = beginning;
  }
  size_t size =
      net::icmp_error<F>(frame, from, parsed, message, source, worker.identifiers.of_icmp());
  if (size == 0 || !worker.icmp_bucket.take(worker.now)) return;
  rte_mbuf* reply = make(worker, frame, size);
  if (!reply) return;
  net::header_at<net::EthernetHeader>(bytes(reply), 0).source = worker.ports[about.port_in].mac;
  meta(reply).port_in = about.port_in;
  meta(reply).parsed.family = F::family;
  worker.send(reply, about.port_in);
}

template <class F>
typename F::Address own_source(const Worker& worker, const typename F::Address& to,
                               const typename F::Address& otherwise) {
  const share::Route* way = worker.routes->lookup(Address(to));
  if (!way || !way->source || way->source->family != F::family) return otherwise;
  return net::address_of<F>(*way->source);
}

template Ipv4 own_source<net::V4>(const Worker&, const Ipv4&, const Ipv4&);
template Ipv6 own_source<net::V6>(const Worker&, const Ipv6&, const Ipv6&);

void answer_request(Worker& worker, rte_mbuf* packet, uint16_t request,
                    const net::IcmpMessage& message, const Session<net::V4>& session) {
  const Address client(session.request.source);
  const share::Route* way = worker.routes->lookup(client);
  net::Parsed quoted = meta(packet).parsed;
  quoted.l3_offset = static_cast<uint8_t>(request);
  quoted.protocol = session.request.protocol;
  uint8_t frame[net::kMaxIcmpErrorFrame<net::V4>];
  size_t size = net::icmp_error<net::V4>(frame, bytes(packet), quoted, message,
                                         session.request.destination, worker.identifiers.of_icmp());
  if (!way || size == 0 || !worker.icmp_bucket.take(worker.now)) return;
  rte_mbuf* reply = make(worker, frame, size);
  if (!reply) return;
  Meta& m = meta(reply);
  m.parsed.family = Family::kV4;
  m.port_in = m.port_out = way->port;
  m.hop_address = way->gateway ? *way->gateway : client;
  m.hop_is_client = !way->gateway;
  if (!try_resolve(worker, reply)) worker.hold(reply);
}

template void answer<net::V4>(Worker&, rte_mbuf*, const net::IcmpMessage&, const Ipv4&);
template void answer<net::V6>(Worker&, rte_mbuf*, const net::IcmpMessage&, const Ipv6&);
template void answer<net::V4>(Worker&, rte_mbuf*, net::IcmpError, const Ipv4&, uint32_t);
template void answer<net::V6>(Worker&, rte_mbuf*, net::IcmpError, const Ipv6&, uint32_t);

}  // namespace shunt::dataplane
