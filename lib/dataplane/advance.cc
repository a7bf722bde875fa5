// advance: what a packet does to its session: counters, state, timer. An ICMP error is counted and
// changes nothing else.
#include "dataplane/datagram.h"
#include "dataplane/ingress.h"
#include "dataplane/persistence.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

template <class F>
void change_state(Worker& worker, Session<F>& session, ipvs::State next) {
  if (next == session.state) return;
  bool was_active = ipvs::is_active(session.state), active = ipvs::is_active(next);
  if (was_active != active) {
    ipvs::ServerLoad& load = worker.counters.loads[session.server_id];
    (was_active ? load.active : load.inactive).subtract(1);
    (active ? load.active : load.inactive).add(1);
  }
  session.state = next;
  if (next == ipvs::State::kEstablished || next == ipvs::State::kSctpEstablished)
    assure_control<F>(worker, session);
}

/// After a packet that is not UDP and whose transport header was seen.
ipvs::State next_state(const Worker& worker, ipvs::State state, ipvs::Direction direction,
                       const net::Parsed& parsed) {
  if (parsed.protocol == net::kTcp)
    return ipvs::next_tcp_state(state, direction, parsed.tcp_flags, worker.defense.secures_tcp());
  if (!parsed.has_chunk) return state;
  uint8_t chunk = parsed.is_aborted ? net::SctpChunkHeader::kAbort : parsed.chunk_type;
  return ipvs::next_sctp_state(state, direction, chunk);
}

/// Is the checksum of an ICMP error right? Those about IPv6 sessions that come from the clients'
/// side are not looked at (ip_vs_in_icmp_v6).
template <class F>
bool is_intact(const rte_mbuf* packet, const Meta& m) {
  if (F::family == Family::kV6 && !m.is_reply) return true;
  return net::checksum_finish(icmp_sum<F>(packet, m.parsed)) == 0;
}

template <class F>
void advance_session(Worker& worker, uint32_t number, const Meta& m) {
  Session<F>& session = worker.sessions<F>().at(number);
  bool has_header = m.parsed.kind == net::Kind::kFlow || m.parsed.has_ports;
  if (m.parsed.protocol != net::kUdp && has_header) {
    ipvs::Direction direction = ipvs::Direction::kInput;
    if (m.is_reply) {
      direction = ipvs::Direction::kOutput;
      session.flags &= static_cast<uint16_t>(~Session<F>::kNoOutput);
    } else if (session.flags & Session<F>::kNoOutput) {
      direction = ipvs::Direction::kInputOnly;
    }
    change_state<F>(worker, session, next_state(worker, session.state, direction, m.parsed));
  }
  if (session.state == ipvs::State::kUdp && m.is_reply) assure_control<F>(worker, session);
  if (!m.is_reply && session.packets < Session<F>::kManyPackets) session.packets++;
  const Nanoseconds deadline = worker.deadline_of(session.state);
  bool sooner = deadline < session.deadline;
  session.deadline = deadline;
  if (sooner) worker.sessions<F>().hasten(number);
}

}  // namespace

template <class F>
void advance(Worker& worker, const Burst& found, Burst& live) {
  for (unsigned i = 0; i < found.n; i++) {
    rte_mbuf* packet = found.packets[i];
    Meta& m = meta(packet);
    Session<F>& session = worker.sessions<F>().at(m.session);
    m.server_id = session.server_id;
    if constexpr (F::family == Family::kV4) {
      if (m.parsed.kind == net::Kind::kTunnelError) {
        relay(worker, packet, session);
        continue;
      }
    }
    if (may_be_own<F>(worker, m, session) && refuse_own<F>(worker, packet, session)) continue;
    if (m.is_reply && !may_be_answer<F>(worker, packet, session)) continue;
    if (m.parsed.kind == net::Kind::kIcmpError && !is_intact<F>(packet, m)) {
      worker.drop(packet, ipvs::DropReason::kIcmpChecksum);
      continue;
    }
    if (m.why != Why::kScheduled) m.why = m.is_reply ? Why::kReply : Why::kSession;
    if (worker.board.configured.has(session.server_id)) {
      share::ServerCounters& server = worker.counters.servers[session.server_id];
      uint64_t length = ip_length(packet, m.parsed);
      (m.is_reply ? server.out_packets : server.in_packets).add(1);
      (m.is_reply ? server.out_bytes : server.in_bytes).add(length);
    } else if (!m.is_reply && m.parsed.kind != net::Kind::kIcmpError) {
      // The entry of a removed server runs out, unless the server is added again (ip_vs_in). Its
      // answers and errors about the session still pass, and are counted nowhere.
      worker.drop(packet, ipvs::DropReason::kServerRemoved);
      continue;
    }
    bool lasts = !worker.sessions<F>().is_lent(m.session);
    if (lasts && m.parsed.kind != net::Kind::kIcmpError) advance_session<F>(worker, m.session, m);
    live.add(packet);
  }
}

template void advance<net::V4>(Worker&, const Burst&, Burst&);
template void advance<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
