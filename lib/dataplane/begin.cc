#include "dataplane/begin.h"

#include "dataplane/persistence.h"
#include "dataplane/stages.h"
#include "net/edit.h"

namespace shunt::dataplane {

namespace {

/// The local port of a masqueraded session: the one that the client's own endpoint had before, if
/// it is free. A server in TIME_WAIT accepts only sequence numbers and timestamps that have grown,
/// as those of one client endpoint do, and another's by chance; after a refusal the client resets
/// what the server remembers of this port, and its next SYN has to come from the same.
template <class F>
bool choose_local_port(Worker& worker, Session<F>& session, uint16_t before) {
  if (before != 0) {
    session.reply.destination_port = be16(before);
    if (!worker.sessions<F>().lookup(session.reply_tuple())) return true;
  }
  net::Tuple<F> reply = session.reply_tuple();
  auto choice = worker.local_ports<F>().choose(worker.sessions<F>(), reply);
  session.reply = ends_of<F>(reply);
  if (choice && choice.evict != kNoSession) retire<F>(worker, choice.evict);
  return static_cast<bool>(choice);
}

}  // namespace

template <class F>
void fill_deltas(Session<F>& session) {
  net::Translation<F> in =
      net::make_translation<F>(session.request, session.reply_tuple().reversed());
  session.address_delta = in.address_delta;
  session.port_delta = in.port_delta;
}

template <class F>
bool clear_reply(Worker& worker, const net::Tuple<F>& reply, Hit& other) {
  other = worker.sessions<F>().lookup(reply);
  if (other) worker.sessions<F>().look(other.session);
  if (other && worker.sessions<F>().at(other.session).deadline <= worker.now) {
    retire<F>(worker, other.session);
    other = worker.sessions<F>().lookup(reply);
  }
  return !other || other.is_reply;
}

template <class F>
bool fill_reply(Worker& worker, uint16_t before, Session<F>& session, Hit& older,
                ipvs::DropReason& reason) {
  older = {};
  const auto& server = worker.recent<F>().way(session.reply.source, *worker.routes);
  const share::Route* way = server.is_own ? nullptr : server.way;
  if (way && way->masquerade && way->masquerade->family == F::family) {
    session.flags |= Session<F>::kMasqueraded;
    session.reply.destination = net::address_of<F>(*way->masquerade);
    if (!choose_local_port<F>(worker, session, before)) {
      reason = ipvs::DropReason::kNoLocalPort;
      return false;
    }
  } else {
    session.reply.destination = session.request.source;
    session.reply.destination_port = session.request.source_port;
    if (!clear_reply<F>(worker, session.reply_tuple(), older)) {
      reason = ipvs::DropReason::kTupleTaken;
      return false;
    }
  }
  session.flags |= Session<F>::kHasReply;
  fill_deltas<F>(session);
  return true;
}

template <class F>
bool file_session(Worker& worker, const Session<F>& session, uint32_t& number, const Hit* older) {
  if (worker.sessions<F>().insert(&session, 1, &number, older) == 0) return false;
  ipvs::ServerLoad& load = worker.counters.loads[session.server_id];
  load.sessions.add(1);
  (ipvs::is_active(session.state) ? load.active : load.inactive).add(1);
  worker.board.loads.begun(session.server_id);
  (F::family == Family::kV4 ? worker.counters.sessions_v4 : worker.counters.sessions_v6).add(1);
  return true;
}

template <class F>
uint32_t lend(Worker& worker, Session<F>& session, unsigned place) {
  fill_deltas<F>(session);
  return worker.sessions<F>().lend(place, session);
}

template <class F>
void end_lent(Worker& worker, uint32_t number) {
  Session<F>& session = worker.sessions<F>().at(number);
  worker.counters.servers[session.server_id].connections.add(1);
  Counter& sessions = worker.counters.loads[session.server_id].sessions;
  sessions.add(1);
  worker.board.loads.begun(session.server_id);
  sessions.subtract(1);
  worker.board.loads.ended(session.server_id);
  release_control<F>(worker, session);
  session.flags &= static_cast<uint16_t>(~Session<F>::kControlled);
}

template void fill_deltas<net::V4>(Session<net::V4>&);
template void fill_deltas<net::V6>(Session<net::V6>&);
template bool clear_reply<net::V4>(Worker&, const net::Tuple<net::V4>&, Hit&);
template bool clear_reply<net::V6>(Worker&, const net::Tuple<net::V6>&, Hit&);
template bool fill_reply<net::V4>(Worker&, uint16_t, Session<net::V4>&, Hit&, ipvs::DropReason&);
template bool fill_reply<net::V6>(Worker&, uint16_t, Session<net::V6>&, Hit&, ipvs::DropReason&);
template bool file_session<net::V4>(Worker&, const Session<net::V4>&, uint32_t&, const Hit*);
template bool file_session<net::V6>(Worker&, const Session<net::V6>&, uint32_t&, const Hit*);
template uint32_t lend<net::V4>(Worker&, Session<net::V4>&, unsigned);
template uint32_t lend<net::V6>(Worker&, Session<net::V6>&, unsigned);
template void end_lent<net::V4>(Worker&, uint32_t);
template void end_lent<net::V6>(Worker&, uint32_t);

}  // namespace shunt::dataplane
