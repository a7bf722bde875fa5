// What makes flows swift, and which of the swift lane's forms (swift_lane.h) this CPU takes.
#include "dataplane/swift.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/plain_edit.h"
#include "dataplane/stages.h"
#include "net/checksum.h"

namespace shunt::dataplane {

using V4 = net::V4;

SwiftLane choose_swift_lane() {
#ifdef __x86_64__
  // What tells CPUs of these levels from older ones.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return swift_v4;
  if (v3) return swift_v3;
#endif
  return swift_any;
}

void note_swift(Worker& worker, rte_mbuf* packet, uint64_t word, bool is_reply,
                uint8_t port_in) noexcept {
  const FlowPlans& plans = worker.sessions_v4->plans();
  const FlowPlan& plan = plans.at(FlowWord::plan(word));
  const FlowPlanNote& note = plans.note(FlowWord::plan(word));
  Meta& m = *new (&meta(packet)) Meta();
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.port_in = port_in;
  m.session = FlowWord::number(word);
  m.is_reply = is_reply;
  m.hop = is_reply ? note.hop_out : note.hop_in;
  m.port_out = plan.exits[is_reply].port;
  m.server_id = note.server_id;
  m.why = is_reply ? Why::kReply : Why::kSession;
}

namespace {

/// False: nobody answers there.
bool fill_exit(const Worker& worker, uint32_t hop_id, FlowExit& exit) {
  if (hop_id == kNoHop) return false;
  const share::NextHop hop = worker.board.next_hops->get(hop_id);
  if (hop.state != share::NextHop::kReachable) return false;
  const WorkerPort& port = worker.ports[hop.port];
  uint8_t macs[sizeof exit.head + sizeof exit.tail];
  std::memcpy(macs, &hop.mac, sizeof hop.mac);
  std::memcpy(macs + sizeof hop.mac, &port.mac, sizeof port.mac);
  exit.hop = std::bit_cast<uint64_t>(hop);
  exit.known = &worker.board.next_hops->known(hop_id);
  exit.head = load<uint64_t>(macs);
  exit.tail = load<uint32_t>(macs + sizeof exit.head);
  exit.mtu = static_cast<uint16_t>(std::min<uint32_t>(port.mtu, UINT16_MAX));
  exit.port = hop.port;
  return true;
}

/// False: no IPv4 in IPv4 without more, or nobody answers on the way.
bool fill_tunnel(Worker& worker, uint32_t server_id, FlowPlan& plan, uint32_t& hop_id) {
  const share::FarEnds& far_ends = worker.board.far_ends;
  const Address& far_end = far_ends.address(server_id);
  const TunnelWay* way = tunnel_way(worker, server_id);
  constexpr uint32_t kOverhead = sizeof(net::Ipv4Header);
  constexpr uint32_t kLeastMtu = 576;  // what every host takes (RFC 791); less is for the stages
  if (far_ends.word(server_id).load(std::memory_order_relaxed) != FlowPlan::kIpipWord ||
      !far_end.is_v4() || !way || way->is_own || way->until != 0 || way->mtu < kLeastMtu ||
      !worker.sessions_v4->conditions().finds_path_mtus ||
      !fill_exit(worker, way->hop, plan.exits[0]))
    return false;
  hop_id = way->hop;
  plan.exits[0].edit = FlowEdit::kIpip;
  plan.exits[0].mtu = static_cast<uint16_t>(std::min(way->mtu, uint32_t{UINT16_MAX}) - kOverhead);
  plan.tunnel = &far_ends.word(server_id);
  plan.to[0].address = way->source.v4();
  plan.to[1].address = far_end.v4();
  uint64_t sum =
      uint64_t{load<uint32_t>(&plan.to[0].address)} + load<uint32_t>(&plan.to[1].address);
  sum = (sum & UINT32_MAX) + (sum >> 32);
  plan.to[0].address_delta =
      net::checksum_fold(static_cast<uint32_t>((sum & UINT32_MAX) + (sum >> 32)));
  return true;
}

FlowTranslation translation(Ipv4 address, be16 port, uint16_t address_delta, uint16_t port_delta) {
  const uint32_t sum = uint32_t{address_delta} + port_delta;
  return {address, port, address_delta, static_cast<uint16_t>((sum & 0xffff) + (sum >> 16))};
}

}  // namespace

void speed_up(Worker& worker, uint32_t number) {
  const Session<V4>& session = worker.sessions_v4->at(number);
  const bool is_nat = session.method == ipvs::ForwardMethod::kMasquerade,
             no_output = session.flags & Session<V4>::kNoOutput,
             is_udp = session.request.protocol == net::kUdp;
  if (session.found != Session<V4>::kExact ||
      session.flags & (Session<V4>::kHelped | Session<V4>::kExpected) ||
      session.packets < Session<V4>::kManyPackets ||
      (session.state != ipvs::State::kEstablished && session.state != ipvs::State::kUdp) ||
      !worker.ack_keeps_state(session.state,
                              no_output ? ipvs::Direction::kInputOnly : ipvs::Direction::kInput))
    return;
  FlowPlan plan{};
  FlowPlanNote note{session.server_id, session.hop_in, kNoHop};
  share::ServerCounters& counters = worker.counters.servers[session.server_id];
  plan.configured = &worker.board.configured.mark(session.server_id);
  // As it was when this turn began: if it is another by now, the next turn's flows learn of it.
  const auto& conditions = worker.sessions_v4->conditions();
  const uint64_t seconds = is_udp ? conditions.udp : conditions.established;
  plan.lifetime = static_cast<uint32_t>(
      std::min<uint64_t>(seconds * (1'000'000'000 / FlowWord::kTick), UINT32_MAX));
  plan.exits[0].packets = &counters.in_packets;
  if (session.method == ipvs::ForwardMethod::kTunnel) {
    if (!fill_tunnel(worker, session.server_id, plan, note.hop_in)) return;
  } else if (!fill_exit(worker, session.hop_in, plan.exits[0])) {
    return;
  }
  if (is_nat) {
    // The first answer changes the session, and each one a template of UDP.
    if (no_output || (is_udp && session.flags & Session<V4>::kControlled) ||
        !worker.ack_keeps_state(session.state, ipvs::Direction::kOutput) ||
        !fill_exit(worker, session.hop_out, plan.exits[1]))
      return;
    note.hop_out = session.hop_out;
    plan.exits[1].packets = &counters.out_packets;
    plan.exits[0].edit = plan.exits[1].edit = FlowEdit::kNat;
    plan.to[0] = translation(session.reply.source, session.reply.source_port, session.address_delta,
                             session.port_delta);
    plan.to[1] =
        translation(session.request.destination, session.request.destination_port,
                    opposite_delta(session.address_delta), opposite_delta(session.port_delta));
  }
  worker.sessions_v4->speed_up(number, plan, note);
}

}  // namespace shunt::dataplane
