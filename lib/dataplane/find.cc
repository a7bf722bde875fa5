// find: the sessions of a burst of flows, looked up at once by full tuple. One lookup serves both
// directions: a NAT session is indexed by its request tuple and by its reply tuple.
#include "dataplane/help.h"
#include "dataplane/ingress.h"
#include "dataplane/persistence.h"
#include "dataplane/service_of.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// Does Linux drop this packet of a session before IPVS sees it? An error may come from anybody.
template <class F>
bool refuse(Worker& worker, rte_mbuf* packet, bool is_reply) {
  const Meta& m = meta(packet);
  if (m.parsed.kind != net::Kind::kFlow && refuse_source<F>(worker, packet)) return true;
  return has_options<F>(packet, m.parsed) && refuse_options<F>(worker, packet, is_reply);
}

/// SYN without RST, or INIT first. (is_new_conn, ip_vs_core.c)
bool begins_connection(const Meta& m) {
  if (m.parsed.kind != net::Kind::kFlow) return false;
  if (m.parsed.protocol == net::kSctp)
    return m.parsed.has_chunk && m.parsed.chunk_type == net::SctpChunkHeader::kInit;
  constexpr uint8_t kMask = net::TcpHeader::kSyn | net::TcpHeader::kRst;
  return (m.parsed.tcp_flags & kMask) == net::TcpHeader::kSyn;
}

/// Has the session's server weight 0 now?
template <class F>
bool is_quiesced(const Worker& worker, const Meta& m, const Session<F>& session) {
  const ipvs::Service* service = service_of<F>(worker, m);
  if (!service) return false;
  for (const ipvs::Server& server : service->servers)
    if (server.id == session.server_id) return server.weight == 0;
  return false;
}

/// Does this packet of a client end its session, to begin another one if it may? (conn_reuse_mode,
/// and `expire`: expire_nodest_conn; ip_vs_in, ip_vs_core.c)
template <class F>
bool ends_session(const Worker& worker, const Meta& m, const Session<F>& session, bool expire) {
  if (expire && m.parsed.kind != net::Kind::kIcmpError &&
      m.parsed.kind != net::Kind::kTunnelError && !worker.board.configured.has(session.server_id))
    return true;
  if (!begins_connection(m)) return false;
  // Made from a template, or expected.
  bool controlled = session.flags & (Session<F>::kControlled | Session<F>::kExpected);
  return (!controlled &&
          ipvs::is_new_connection_expected(session.state, session.flags & Session<F>::kNoOutput,
                                           worker.board.knobs.of(ipvs::Knob::kConnReuseMode))) ||
         (expire && is_quiesced(worker, m, session));
}

bool contains_session(const Burst& found, uint32_t session) {
  for (unsigned i = 0; i < found.n; i++)
    if (meta(found.packets[i]).session == session) return true;
  return false;
}

/// Sessions retired while this burst was looked at: later hits on them are stale.
struct Retired {
  unsigned n = 0;
  uint32_t sessions[kBurst];
  bool contains(uint32_t session) const {
    for (unsigned i = 0; i < n; i++)
      if (sessions[i] == session) return true;
    return false;
  }
};

/// Takes a session and what belongs to it from all tables; its server's counts are the caller's.
template <class F>
void close(Worker& worker, uint32_t number) {
  auto& sessions = worker.sessions<F>();
  const Session<F>& session = sessions.at(number);
  release_control<F>(worker, session);
  if (session.flags & Session<F>::kTemplate) forget_call_id<F>(worker, session);
  if (session.flags & (Session<F>::kHelped | Session<F>::kExpected)) end_help<F>(worker, number);
  (F::family == Family::kV4 ? worker.counters.sessions_v4 : worker.counters.sessions_v6)
      .subtract(1);
  sessions.erase(&number, 1);
}

/// Ends a session, no template, but for its server's counts, which settle() ends.
template <class F>
void leave(Worker& worker, uint32_t number) {
  const Session<F>& session = worker.sessions<F>().at(number);
  if (worker.leaving_count == worker.leaving.size()) settle(worker);
  worker.leaving[worker.leaving_count++] = {session.server_id, ipvs::is_active(session.state)};
  close<F>(worker, number);
}

}  // namespace

void settle(Worker& worker) {
  for (unsigned i = 0; i < worker.leaving_count; i++) {
    ipvs::ServerLoad& load = worker.counters.loads[worker.leaving[i].server_id];
    (worker.leaving[i].active ? load.active : load.inactive).subtract(1);
    load.sessions.subtract(1);
    worker.board.loads.ended(worker.leaving[i].server_id);
  }
  worker.leaving_count = 0;
}

template <class F>
unsigned find(Worker& worker, const Burst& burst, unsigned from, Burst& found, Burst& missed) {
  if (!worker.services->has_family(F::family)) {
    // IPVS is unhooked for a family without services: everything is the local stack's.
    for (unsigned i = from; i < burst.n; i++) worker.to_kernel(burst.packets[i]);
    return burst.n;
  }
  auto& sessions = worker.sessions<F>();
  const net::Tuple<F>* keys[kBurst];
  Hit hits[kBurst];
  for (unsigned i = from; i < burst.n; i++)
    keys[i - from] = &meta(burst.packets[i]).template tuple<F>();
  sessions.lookup(keys, burst.n - from, hits);
  // Sessions lie anywhere in memory: fetch them all at once instead of waiting for each.
  for (unsigned i = 0; i < burst.n - from; i++)
    if (hits[i]) sessions.prefetch(hits[i].session);

  const bool expire = worker.board.knobs.of(ipvs::Knob::kExpireNodestConn) != 0;
  Retired retired;
  for (unsigned i = from; i < burst.n; i++) {
    rte_mbuf* packet = burst.packets[i];
    Meta& m = meta(packet);
    Hit hit = hits[i - from];
    // What was a retired session's answer may be an older one's.
    if (hit && retired.contains(hit.session)) hit = sessions.lookup(m.template tuple<F>());
    if (hit && refuse<F>(worker, packet, hit.is_reply)) continue;
    while (hit) {
      sessions.slow_down(hit.session);
      const Session<F>& session = sessions.at(hit.session);
      const bool over = session.deadline <= worker.now && !outlasts<F>(worker, hit.session);
      if (!over && (hit.is_reply || !ends_session(worker, m, session, expire))) break;
      // Packets found before this one still need the session: let them go first.
      if (contains_session(found, hit.session) || retired.n == kBurst) return i;
      if (session.flags & Session<F>::kMasqueraded && !hit.is_reply)
        m.local_port = session.reply.destination_port.host();
      m.replaces = true;
      retired.sessions[retired.n++] = hit.session;
      over ? retire<F>(worker, hit.session) : leave<F>(worker, hit.session);
      hit = hit.is_reply ? sessions.lookup(m.template tuple<F>()) : Hit{};
    }
    m.session = hit.session;
    m.is_reply = hit.is_reply;
    if (!hit && worker.helped<F>().expects()) {
      ipvs::DropReason reason;
      const Met met = meet_expected<F>(worker, m, reason);
      if (met == Met::kRefused) {
        worker.drop(packet, reason);
        continue;
      }
      if (met == Met::kSession && refuse<F>(worker, packet, m.is_reply)) continue;
      if (met == Met::kSession) hit.session = m.session;
    }
    (hit ? found : missed).add(packet);
  }
  return burst.n;
}

template <class F>
void retire(Worker& worker, uint32_t number) {
  const Session<F>& session = worker.sessions<F>().at(number);
  ipvs::ServerLoad& load = worker.counters.loads[session.server_id];
  if (session.flags & Session<F>::kTemplate)
    load.persistent.subtract(1);
  else
    (ipvs::is_active(session.state) ? load.active : load.inactive).subtract(1);
  load.sessions.subtract(1);
  worker.board.loads.ended(session.server_id);
  close<F>(worker, number);
}

template unsigned find<net::V4>(Worker&, const Burst&, unsigned, Burst&, Burst&);
template unsigned find<net::V6>(Worker&, const Burst&, unsigned, Burst&, Burst&);
template void retire<net::V4>(Worker&, uint32_t);
template void retire<net::V6>(Worker&, uint32_t);

}  // namespace shunt::dataplane
