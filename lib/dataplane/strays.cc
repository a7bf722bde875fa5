// Packets that came to one worker and belong to another (steer.cc): what the owner does with them.
// Most go the short way here as they would have where they came.
#include "dataplane/stages.h"
#include "dataplane/worker.h"

namespace shunt::dataplane {

unsigned Worker::receive_strays() {
  unsigned total = 0;
  for (size_t looked = 0; looked < desk.strays.size() && may_receive(); looked++) {
    const auto& mailbox = desk.strays[x_next_stray];
    if (++x_next_stray == desk.strays.size()) x_next_stray = 0;
    if (!mailbox) continue;
    Burst came;
    came.n = mailbox->receive(came.packets, kBurst);
    if (came.n == 0) continue;
    counters.strays_in.add(came.n);
    total += came.n;
    take_strays(came);
  }
  return total;
}

void Worker::take_strays(const Burst& came) {
  // Those of one port, for the lanes; and what they leave, in order.
  Burst plain, raw, v4, v6, fragments;
  auto process_raw = [&] {
    if (raw.n != 0) process(raw);
    raw.n = 0;
  };
  auto process_parsed = [&] {
    if (v4.n != 0) process_flows<net::V4>(v4);
    if (v6.n != 0) process_flows<net::V6>(v6);
    v4.n = v6.n = 0;
  };
  auto go_on = [&](rte_mbuf* packet) {
    const Meta& m = meta(packet);
    m.unparsed ? process_parsed() : process_raw();
    (m.unparsed ? raw : m.parsed.family == Family::kV4 ? v4 : v6).add(packet);
  };
  auto take_plain = [&] {
    if (plain.n == 0) return;
    take_express(meta(plain.packets[0]).port_in, plain);
    for (unsigned i = 0; i < plain.n; i++) go_on(plain.packets[i]);
    plain.n = 0;
  };
  for (unsigned i = 0; i < came.n; i++) {
    const Meta& m = meta(came.packets[i]);
    if (plain.n != 0 && m.port_in != meta(plain.packets[0]).port_in) take_plain();
    if (!m.unparsed && m.parsed.kind == net::Kind::kFragment)
      fragments.add(came.packets[i]);
    else if (m.from_twin || !settings.express)
      go_on(came.packets[i]);
    else
      plain.add(came.packets[i]);
  }
  take_plain();
  process_raw();
  process_parsed();
  if (fragments.n == 0) return;
  identify(*this, fragments, v4, v6);
  process_identified(v4, v6);
}

}  // namespace shunt::dataplane
