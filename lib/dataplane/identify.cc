// identify: fragments get the ports of the packet they are parts of, and are flows from then on.
//
// Fragments go first to the worker that the hash of (source, destination, protocol, id) names; it
// keeps the first-fragment map. One that comes before its packet's first fragment waits, bounded in
// number and time.
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

constexpr Nanoseconds kWaitForFirst = 2'000'000'000;

void set_ports(Meta& m, FragmentMap::Ports ports) {
  if (m.parsed.family == Family::kV4) {
    m.v4.source_port = ports.source;
    m.v4.destination_port = ports.destination;
  } else {
    m.v6.source_port = ports.source;
    m.v6.destination_port = ports.destination;
  }
  m.identified = true;
}

FragmentMap::Ports ports_of(const Meta& m) {
  return m.parsed.family == Family::kV4
             ? FragmentMap::Ports{m.v4.source_port, m.v4.destination_port}
             : FragmentMap::Ports{m.v6.source_port, m.v6.destination_port};
}

bool is_balanced_protocol(const Meta& m) {
  return m.parsed.protocol == net::kTcp || m.parsed.protocol == net::kUdp;
}

void identify_one(Worker& worker, rte_mbuf* packet, Burst& v4, Burst& v6) {
  Meta& m = meta(packet);
  FragmentKey key = FragmentKey::of(m);
  if (worker.settings.workers > 1) {
    uint32_t hash = key.hash(worker.board.owner_seed);
    auto owner = static_cast<unsigned>((uint64_t{hash} * worker.settings.workers) >> 32);
    if (owner != worker.settings.number) return send_to_owner(worker, packet, owner);
  }
  if (m.parsed.has_ports) {
    worker.fragments.remember(key, ports_of(m), worker.now);
    m.identified = true;
  } else if (auto ports = worker.fragments.find(key, worker.now)) {
    set_ports(m, *ports);
  } else {
    return worker.hold_fragment(packet, worker.now + kWaitForFirst);
  }
  (m.parsed.family == Family::kV4 ? v4 : v6).add(packet);
}

}  // namespace

void identify(Worker& worker, const Burst& burst, Burst& v4, Burst& v6) {
  for (unsigned i = 0; i < burst.n; i++) {
    if (is_balanced_protocol(meta(burst.packets[i])))
      identify_one(worker, burst.packets[i], v4, v6);
    else
      worker.to_kernel(burst.packets[i]);
  }
}

bool try_identify(Worker& worker, rte_mbuf* packet) {
  Meta& m = meta(packet);
  auto ports = worker.fragments.find(FragmentKey::of(m), worker.now);
  if (ports) set_ports(m, *ports);
  return ports.has_value();
}

}  // namespace shunt::dataplane
