#include "dataplane/local_ports.h"

#include <algorithm>
#include <cassert>

namespace shunt::dataplane {

template <class F>
LocalPorts<F>::LocalPorts(PortRange range, unsigned worker, unsigned workers,
                          const net::SipKey& secret)
    : x_first(range.first + worker),
      x_step(workers),
      x_size(worker < range.size() ? (range.size() - worker + workers - 1) / workers : 0),
      x_secret(secret) {
  assert(range.first != 0 && range.first <= range.last && worker < workers);
}

template <class F>
typename LocalPorts<F>::Choice LocalPorts<F>::choose(const SessionTable<F>& table,
                                                     net::Tuple<F>& reply) {
  constexpr unsigned kBurst = SessionTable<F>::kBurst;
  if (x_size == 0) return {};
  net::Tuple<F> candidates[kBurst];
  const net::Tuple<F>* keys[kBurst];
  Hit hits[kBurst];

  candidates[0] = reply;
  candidates[0].destination_port = be16(0);
  uint64_t hash = net::siphash<1, 3>(&candidates[0], sizeof candidates[0], x_secret);
  uint16_t& cursor = x_cursors[hash % kCursors];
  uint32_t start = cursor + static_cast<uint32_t>(hash >> 32) % x_size;
  uint32_t count = std::min({x_size, kMostCandidates, kFewCandidates + x_allowance});

  auto take = [&](uint32_t index, uint32_t evict) {
    cursor = static_cast<uint16_t>((cursor + index + 1) % x_size);
    uint16_t port = port_at(start + index);
    reply.destination_port = be16(port);
    return Choice{port, evict};
  };

  uint32_t reusable = count, evict = kNoSession;
  // Most first looks find a free port: begin with few.
  for (uint32_t done = 0, n = 4; done < count; done += n, n = std::min(n * 4, kBurst)) {
    n = std::min(n, count - done);
    for (uint32_t i = 0; i < n; i++) {
      candidates[i] = reply;
      candidates[i].destination_port = be16(port_at(start + done + i));
      keys[i] = &candidates[i];
    }
    if (done >= kFewCandidates) x_allowance -= std::min(n, x_allowance);
    table.lookup(keys, n, hits);
    for (uint32_t i = 0; i < n; i++) {
      if (!hits[i]) return take(done + i, kNoSession);
      if (evict != kNoSession || !hits[i].is_reply) continue;
      const Session<F>& session = table.at(hits[i].session);
      if (!ipvs::is_closed(session.state) || !(session.flags & Session<F>::kMasqueraded)) continue;
      reusable = done + i;
      evict = hits[i].session;
    }
  }
  if (evict != kNoSession) return take(reusable, evict);
  cursor = static_cast<uint16_t>((cursor + count) % x_size);  // the next call looks at others
  return {};
}

template class LocalPorts<net::V4>;
template class LocalPorts<net::V6>;

}  // namespace shunt::dataplane
