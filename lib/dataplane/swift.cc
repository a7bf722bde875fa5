// What makes flows swift, and which of the swift lane's forms (swift_lane.h) this CPU takes.
#include "dataplane/swift.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/make_way.h"
#include "dataplane/plain_edit.h"

namespace shunt::dataplane {

using V4 = net::V4;

SwiftLanes choose_swift_lanes() {
#ifdef __x86_64__
  // What tells CPUs of these levels from older ones.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return {swift_v4, swift6_v4};
  if (v3) return {swift_v3, swift6_v3};
#endif
  return {swift_any, swift6_any};
}

bool is_still_good(Worker& worker, uint16_t number, bool is_reply) noexcept {
  const FlowPlans& plans = worker.sessions_v4->plans();
  const FlowBasis& basis = plans.basis(number);
  FlowWay& way = plans.ways()[2 * number + is_reply];
  if (basis.epoch != plans.epoch() || way.lifetime == 0) return false;
  share::Board& board = worker.board;
  const uint32_t hop = basis.hop_ids[is_reply];
  if (!board.configured.has(basis.server_id) ||
      std::bit_cast<uint64_t>(board.next_hops->get(hop)) != basis.hops[is_reply] ||
      (way.edit == FlowEdit::kIpip && board.far_ends.word(basis.server_id) != kIpipFarEnd))
    return false;
  board.next_hops->touch(hop);
  static_assert(share::kMaxPorts <= FlowPlans::kPorts);
  way.revision = plans.revision() | way.port;
  return true;
}

void note_swift(Worker& worker, rte_mbuf* packet, uint64_t word, bool is_reply,
                uint8_t port_in) noexcept {
  const FlowPlans& plans = worker.sessions_v4->plans();
  const FlowBasis& basis = plans.basis(FlowWord::plan(word));
  Meta& m = *new (&meta(packet)) Meta();
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.port_in = port_in;
  m.session = FlowWord::number(word);
  m.is_reply = is_reply;
  m.hop = basis.hop_ids[is_reply];
  m.port_out = plans.at(FlowWord::plan(word)).ways[is_reply].port;
  m.server_id = basis.server_id;
  m.why = is_reply ? Why::kReply : Why::kSession;
}

void note_swift(Worker& worker, rte_mbuf* packet, const Session<net::V6>& session,
                uint8_t port_in) noexcept {
  Meta& m = *new (&meta(packet)) Meta();
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.port_in = port_in;
  m.session = static_cast<uint32_t>(&session - &worker.sessions_v6->at(0));
  m.hop = session.hop_in;
  m.port_out = worker.server_ways[session.server_id].port;
  m.server_id = session.server_id;
  m.why = Why::kSession;
}

namespace {

/// A plan in the making.
struct Making {
  FlowPlan plan{};
  FlowBasis basis{};
};

/// False: nobody answers there.
bool set_hop(const Worker& worker, uint32_t hop_id, bool is_reply, Making& to) {
  to.basis.hop_ids[is_reply] = hop_id;
  return lead_to(worker, hop_id, to.plan.ways[is_reply], to.basis.hops[is_reply]);
}

}  // namespace

void speed_up(Worker& worker, uint32_t number) {
  const Session<V4>& session = worker.sessions_v4->at(number);
  const bool is_nat = session.method == ipvs::ForwardMethod::kMasquerade,
             no_output = session.flags & Session<V4>::kNoOutput,
             is_udp = session.request.protocol == net::kUdp;
  const bool is_chosen = session.found & Session<V4>::kChosen;
  if ((session.found & ~Session<V4>::kChosen) != Session<V4>::kExact ||
      session.flags & (Session<V4>::kHelped | Session<V4>::kExpected) ||
      session.packets < Session<V4>::kManyPackets ||
      (session.state != ipvs::State::kEstablished && session.state != ipvs::State::kUdp) ||
      !worker.ack_keeps_state(session.state,
                              no_output ? ipvs::Direction::kInputOnly : ipvs::Direction::kInput))
    return;
  Making making;
  making.basis.server_id = session.server_id;
  making.basis.hop_ids[0] = making.basis.hop_ids[1] = kNoHop;
  FlowWay &request = making.plan.ways[0], &answer = making.plan.ways[1];
  if (session.method == ipvs::ForwardMethod::kTunnel
          ? !lead_into_tunnel(worker, session.server_id, request, making.basis.hop_ids[0],
                              making.basis.hops[0])
          : !set_hop(worker, session.hop_in, false, making))
    return;
  share::ServerCounters& counters = worker.counters.servers[session.server_id];
  // As it was when this turn began: if it is another by now, the next turn's flows learn of it.
  const auto& conditions = worker.sessions_v4->conditions();
  const uint64_t seconds = is_udp ? conditions.udp : conditions.established;
  request.lifetime = static_cast<uint32_t>(
      std::min<uint64_t>(seconds * (1'000'000'000 / FlowWord::kTick), UINT32_MAX));
  request.packets = &counters.in_packets;
  if (is_nat) {
    // The first answer changes the session, and each one a template of UDP.
    if (no_output || (is_udp && session.flags & Session<V4>::kControlled) ||
        !worker.ack_keeps_state(session.state, ipvs::Direction::kOutput) ||
        !set_hop(worker, session.hop_out, true, making))
      return;
    // Each endpoint has a plan of its own: those that clients choose get half of them.
    if (is_chosen && worker.sessions_v4->plans().used() >= FlowPlans::kPlans / 2) return;
    answer.lifetime = request.lifetime;
    answer.packets = &counters.out_packets;
    const WayEnd service{session.request.destination, session.request.destination_port},
        server{session.reply.source, session.reply.source_port};
    set_translation(service, server, session.address_delta, session.port_delta, false, request);
    set_translation(server, service, opposite_delta(session.address_delta),
                    opposite_delta(session.port_delta), true, answer);
  }
  worker.sessions_v4->speed_up(number, making.plan, making.basis);
}

}  // namespace shunt::dataplane
