// twin: what Linux sends leaves as it is; only the answers of a server that is Linux itself go to
// their sessions first, as a reply from a port does (ip_vs_local_reply4, ip_vs_core.c).
#include <rte_ethdev.h>

#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// Packets taken from one queue at once.
constexpr unsigned kReceive = 32;

/// May it be what a masqueraded server on this host answers? The rest of a fragmented packet shows
/// no port.
template <class F>
bool is_of_own_server(const Worker& worker, const Meta& m) {
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (!worker.services->has_family(F::family) || !worker.routes->is_own(Address(tuple.source)))
    return false;
  return m.parsed.kind == net::Kind::kFragment ||
         worker.services->is_masqueraded_server<F>(tuple.protocol, tuple.source, tuple.source_port);
}

}  // namespace

bool Worker::may_answer(rte_mbuf* packet, uint8_t port) const {
  Meta& m = *new (&meta(packet)) Meta();
  m.port_in = port;
  m.from_twin = true;
  if (packet->nb_segs > 1) return false;
  new (&m.parsed) net::Parsed(net::parse(bytes(packet), packet->data_len, m.v4, m.v6));
  const bool is_v4 = m.parsed.family == Family::kV4;
  if (m.parsed.kind == net::Kind::kIcmpError) {
    if (is_v4)
      m.v4 = m.v4.reversed();
    else
      m.v6 = m.v6.reversed();
  } else if (m.parsed.kind != net::Kind::kFlow && m.parsed.kind != net::Kind::kFragment) {
    return false;
  }
  return is_v4 ? is_of_own_server<net::V4>(*this, m) : is_of_own_server<net::V6>(*this, m);
}

unsigned Worker::receive_from_twins() {
  unsigned total = 0;
  for (unsigned i = 0; i < ports.size(); i++) {
    WorkerPort& port = ports[i];
    if (port.twin_queue == WorkerPort::kNone || !may_receive()) continue;
    rte_mbuf* packets[kReceive];
    unsigned n = rte_eth_rx_burst(port.twin, port.twin_queue, packets, kReceive);
    if (n == 0) continue;
    total += n;
    counters.ports[i].from_kernel.add(n);
    Burst v4, v6, fragmented, passing;
    uint64_t bytes = 0;
    for (unsigned k = 0; k < n; k++) {
      if (!may_answer(packets[k], static_cast<uint8_t>(i))) {
        bytes += packets[k]->pkt_len;
        passing.add(packets[k]);
        continue;
      }
      counters.received.add(1);
      const net::Parsed& parsed = meta(packets[k]).parsed;
      if (parsed.kind == net::Kind::kFragment)
        fragmented.add(packets[k]);
      else
        (parsed.family == Family::kV4 ? v4 : v6).add(packets[k]);
    }
    unsigned sent = rte_eth_tx_burst(port.nic, port.tx_queue, passing.packets,
                                     static_cast<uint16_t>(passing.n));
    counters.ports[i].tx_packets.add(sent);
    // What is lost counts as received, so that the accounts balance with the drop.
    counters.received.add(passing.n - sent);
    for (unsigned k = sent; k < passing.n; k++) {
      bytes -= passing.packets[k]->pkt_len;
      drop(passing.packets[k], ipvs::DropReason::kPortFull);
    }
    counters.ports[i].tx_bytes.add(bytes);
    if (fragmented.n) identify(*this, fragmented, v4, v6);
    process_identified(v4, v6);
  }
  return total;
}

}  // namespace shunt::dataplane
