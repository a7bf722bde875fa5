// identify: fragments get the ports of the packet they are parts of, and are flows from then on.
//
// Fragments go first to the worker that FragmentKey's hash names; it keeps the first-fragment map.
// One that comes before its packet's first fragment waits, bounded in number and time. All
// fragments of a packet take one lane: those of what is no flow go to the kernel.
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

constexpr Nanoseconds kWaitForFirst = 2'000'000'000;

bool is_balanced(uint8_t protocol) {
  return protocol == net::kTcp || protocol == net::kUdp || protocol == net::kSctp;
}

/// Behind a later fragment's header of this type any protocol may stand (RFC 8200 section 4).
bool is_extension(uint8_t type) {
  return type == 0 || type == 43 || type == 51 || type == 60;
}

/// May it be part of a flow, or of what later fragments must be told about?
bool concerns_flows(const net::Parsed& parsed) {
  if (is_balanced(parsed.protocol)) return true;
  if (parsed.family == Family::kV4) return false;
  return parsed.fragment_offset == 0 || is_extension(parsed.protocol);
}

FragmentMap::First first_of(const Meta& m) {
  if (m.parsed.family == Family::kV4)
    return {m.v4.source_port, m.v4.destination_port, m.parsed.protocol};
  return {m.v6.source_port, m.v6.destination_port, m.parsed.protocol};
}

template <class F>
void take(net::Tuple<F>& tuple, const FragmentMap::First& first) {
  tuple.source_port = first.source_port;
  tuple.destination_port = first.destination_port;
  tuple.protocol = first.protocol;
}

/// A later fragment goes where its packet's first one went.
void follow(Worker& worker, rte_mbuf* packet, const FragmentMap::First& first, Burst& flows) {
  Meta& m = meta(packet);
  if (first.protocol == 0) return worker.to_kernel(packet);
  if (m.parsed.family == Family::kV4)
    take<net::V4>(m.v4, first);
  else
    take<net::V6>(m.v6, first);
  m.parsed.protocol = first.protocol;
  m.identified = true;
  flows.add(packet);
}

void identify_one(Worker& worker, rte_mbuf* packet, Burst& v4, Burst& v6) {
  Meta& m = meta(packet);
  FragmentKey key = FragmentKey::of(m);
  if (worker.settings.workers > 1) {
    uint32_t hash = key.hash(worker.board.owner_seed);
    auto owner = static_cast<unsigned>((uint64_t{hash} * worker.settings.workers) >> 32);
    if (owner != worker.settings.number) return send_to_owner(worker, packet, owner);
  }
  Burst& flows = m.parsed.family == Family::kV4 ? v4 : v6;
  if (m.parsed.fragment_offset != 0) {
    if (auto first = worker.fragments.find(key, worker.now))
      return follow(worker, packet, *first, flows);
    return worker.hold_fragment(packet, worker.now + kWaitForFirst);
  }
  // A TCP header cut in two cannot be translated: Linux may put such packets together. Nobody sends
  // them in good faith (RFC 1858 section 3).
  bool is_flow = is_balanced(m.parsed.protocol) && m.parsed.has_ports;
  // An atomic fragment is a whole packet (RFC 6946 section 4).
  if (m.parsed.more_fragments)
    worker.fragments.remember(key, is_flow ? first_of(m) : FragmentMap::not_flow(), worker.now);
  if (!is_flow) return worker.to_kernel(packet);
  m.identified = true;
  flows.add(packet);
}

}  // namespace

void identify(Worker& worker, const Burst& burst, Burst& v4, Burst& v6) {
  for (unsigned i = 0; i < burst.n; i++) {
    if (concerns_flows(meta(burst.packets[i]).parsed))
      identify_one(worker, burst.packets[i], v4, v6);
    else
      worker.to_kernel(burst.packets[i]);
  }
}

bool try_identify(Worker& worker, rte_mbuf* packet, Burst& flows) {
  auto first = worker.fragments.find(FragmentKey::of(meta(packet)), worker.now);
  if (first) follow(worker, packet, *first, flows);
  return first.has_value();
}

}  // namespace shunt::dataplane
