#include "port_stats.h"

#include <cstdio>

namespace shunt::daemon {

namespace {

template <class Read>
unsigned long long sum(Engine& engine, Read read) {
  unsigned long long total = 0;
  for (auto& desk : engine.board().desks) total += read(desk->counters).get();
  return total;
}

}  // namespace

std::string port_stats(Engine& engine) {
  std::string text;
  char line[160];
  for (size_t i = 0; i < engine.ports().size(); i++) {
    const EnginePort& port = engine.ports()[i];
    auto of = [&](auto member) {
      return sum(engine, [&](const share::WorkerCounters& c) -> const Counter& {
        return c.ports[i].*member;
      });
    };
    using C = share::PortCounters;
    std::snprintf(line, sizeof line, "  %-12s %s  twin %s%s\n", port.name.c_str(),
                  to_string(port.nic->mac()).c_str(), port.twin_name.c_str(),
                  port.is_lost ? "  lost: its interface was deleted" : "");
    text += line;
    std::snprintf(line, sizeof line, "    RX-packets: %-14llu RX-bytes: %-16llu to kernel: %llu\n",
                  of(&C::rx_packets), of(&C::rx_bytes), of(&C::to_kernel));
    text += line;
    std::snprintf(line, sizeof line,
                  "    TX-packets: %-14llu TX-bytes: %-16llu from kernel: %llu\n",
                  of(&C::tx_packets), of(&C::tx_bytes), of(&C::from_kernel));
    text += line;
  }
  using W = share::WorkerCounters;
  auto all = [&](auto member) {
    return sum(engine, [&](const W& c) -> const Counter& { return c.*member; });
  };
  std::snprintf(line, sizeof line, "  sessions: %llu IPv4, %llu IPv6   mailbox crossings: %llu\n",
                all(&W::sessions_v4), all(&W::sessions_v6), all(&W::strays_in));
  text += line;
  std::snprintf(line, sizeof line, "  held: %llu   generated: %llu   absorbed: %llu\n",
                all(&W::held), all(&W::generated), all(&W::absorbed));
  text += line;
  std::snprintf(line, sizeof line, "  packets without a session: %llu   sessions evicted: %llu\n",
                all(&W::stateless), all(&W::evicted));
  text += line;
  std::snprintf(line, sizeof line, "  sent by another worker's queue: %llu\n",
                all(&W::handed_over));
  text += line;
  std::snprintf(line, sizeof line, "  endpoints without a class: %llu\n", all(&W::classes_refused));
  text += line;
  std::snprintf(
      line, sizeof line,
      "  handshakes with a lowered MSS: %llu   control connections of FTP not helped: %llu\n",
      all(&W::clamped), all(&W::unhelped));
  text += line;
  for (int reason = 0; reason < ipvs::kDropReasons; reason++) {
    unsigned long long dropped =
        sum(engine, [&](const W& c) -> const Counter& { return c.dropped[reason]; });
    if (dropped == 0) continue;
    const ipvs::DropReasonRow& row = ipvs::kDropReasonTable[reason];
    std::snprintf(line, sizeof line, "  dropped %-18s %12llu  %.*s\n",
                  std::string(row.name).c_str(), dropped, static_cast<int>(row.what.size()),
                  row.what.data());
    text += line;
  }
  for (int i = 0; i < share::kExhaustions; i++) {
    const unsigned long long counted = engine.board().exhaustions[i].get();
    if (counted == 0) continue;
    const share::ExhaustionRow& row = share::kExhaustionTable[i];
    std::snprintf(line, sizeof line, "  counted %-18s %12llu  %.*s\n",
                  std::string(row.name).c_str(), counted, static_cast<int>(row.what.size()),
                  row.what.data());
    text += line;
  }
  for (size_t w = 0; w < engine.board().desks.size(); w++) {
    const W& c = engine.board().desks[w]->counters;
    std::snprintf(line, sizeof line, "  worker %zu: %llu packets received, %llu sessions\n", w,
                  static_cast<unsigned long long>(c.received.get()),
                  static_cast<unsigned long long>(c.sessions_v4.get() + c.sessions_v6.get()));
    text += line;
  }
  return text;
}

std::string turn_stats(control::TurnMeter& turns) {
  auto milliseconds = [](control::TurnMeter::Time time) { return double(time.count()) / 1e6; };
  char line[160];
  std::snprintf(line, sizeof line, "  control: longest turn %.1f ms, %.1f ms since last shown\n",
                milliseconds(turns.longest()), milliseconds(turns.take_latest()));
  return line;
}

}  // namespace shunt::daemon
