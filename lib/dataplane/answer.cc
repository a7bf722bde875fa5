// answer: ICMP errors the appliance makes, rate-limited, sent back the way the packet came.
#include "dataplane/datagram.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

template <class F>
void answer(Worker& worker, rte_mbuf* packet, net::IcmpError error,
            const typename F::Address& source, uint32_t mtu) {
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
  size_t size = net::icmp_error<F>(frame, from, parsed, error, source, worker.icmp_id, mtu);
  if (size == 0 || !worker.icmp_bucket.take(worker.now)) return;
  rte_mbuf* reply = rte_pktmbuf_alloc(worker.pool);
  if (!reply) return;
  auto* to = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(reply, static_cast<uint16_t>(size)));
  if (!to) return rte_pktmbuf_free(reply);
  worker.icmp_id++;
  std::memcpy(to, frame, size);
  auto* ethernet = reinterpret_cast<net::EthernetHeader*>(to);
  ethernet->source = worker.ports[about.port_in].mac;
  new (&meta(reply)) Meta();
  meta(reply).generated = true;
  meta(reply).port_in = about.port_in;
  meta(reply).parsed.family = F::family;
  worker.counters.generated.add(1);
  worker.send(reply, about.port_in);
}

template void answer<net::V4>(Worker&, rte_mbuf*, net::IcmpError, const Ipv4&, uint32_t);
template void answer<net::V6>(Worker&, rte_mbuf*, net::IcmpError, const Ipv6&, uint32_t);

}  // namespace shunt::dataplane
