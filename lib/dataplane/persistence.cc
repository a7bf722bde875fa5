#include "dataplane/persistence.h"

#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
/// What a template gets whose time is over while it has sessions; from then on it is its timeout
/// (ip_vs_conn_expire).
constexpr uint32_t kReprieve = 60;
/// In a tuple's spare bytes: the tuple of a template, not of a packet.
constexpr uint8_t kTemplateMark = 1;

/// Its service's, or that of the other service that has templates under the same tuple: FTP and
/// port 0 of one address share theirs.
template <class F>
const ipvs::Server* server_of(Worker& worker, const ipvs::Service& service, Session<F>& found) {
  if (!worker.board.configured.has(found.server_id)) return nullptr;
  if (const auto* own = service.server(found.server_id, found.server_hint)) return own;
  for (uint16_t port : {ipvs::kFtpPort, uint16_t{0}}) {
    const ipvs::Service* other =
        worker.services->find<F>(found.request.protocol, found.request.destination, be16(port));
    if (!other) continue;
    if (const auto* theirs = other->server(found.server_id, found.server_hint)) return theirs;
  }
  return nullptr;
}

bool is_usable(Worker& worker, const ipvs::Server* server) {
  if (!server) return false;
  return server->weight != 0 || !worker.board.knobs.of(ipvs::Knob::kExpireQuiescentTemplate);
}

}  // namespace

template <class F>
net::Tuple<F> template_key(const ipvs::Service& service, const net::Tuple<F>& request) {
  net::Tuple<F> key{};
  key.source = ipvs::network_of<F>(request.source, service.netmask);
  key.zero[0] = kTemplateMark;
  if (service.key.fwmark) {
    Endpoint mark = ipvs::mark_endpoint(service.key.fwmark, F::family);
    key.destination = net::address_of<F>(mark.address);
    return key;
  }
  key.destination = request.destination;
  key.protocol = request.protocol;
  // Connections of FTP, and of a service that takes every port, stay together.
  uint16_t port = service.key.endpoint.port;
  if (request.destination_port.host() == port && port != ipvs::kFtpPort)
    key.destination_port = request.destination_port;
  return key;
}

template <class F>
const ipvs::Server* find_template(Worker& worker, const ipvs::Service& service,
                                  const net::Tuple<F>& key, uint32_t& number) {
  constexpr uint16_t kNowhere = 65535;  // as the kernel shows a template that is not used any more
  auto& sessions = worker.sessions<F>();
  Hit hit = sessions.lookup(key);
  if (!hit) return nullptr;
  number = hit.session;
  Session<F>& found = sessions.at(number);
  if (found.deadline <= worker.now && !outlives<F>(found, worker.now)) {
    retire<F>(worker, number);
    return nullptr;
  }
  const ipvs::Server* server = server_of<F>(worker, service, found);
  if (is_usable(worker, server)) return server;
  sessions.hide(number);
  found.request.destination_port = found.reply.source_port = be16(kNowhere);
  return nullptr;
}

template <class F>
bool begin_template(Worker& worker, const ipvs::Service& service, const net::Tuple<F>& key,
                    const ipvs::Server& server, be16 port, uint32_t& number) {
  Session<F> made{};
  made.request = key;
  made.reply.source = net::address_of<F>(server.endpoint.address);
  uint16_t own = service.key.endpoint.port;
  if (port.host() == own && own != ipvs::kFtpPort)
    made.reply.source_port = be16(server.endpoint.port);
  made.server_id = server.id;
  made.method = server.method;
  made.flags = Session<F>::kTemplate;
  made.timeout = service.persistence_timeout;
  made.deadline = worker.now + made.timeout * kSecond;
  if (worker.sessions<F>().insert(&made, 1, &number) == 0) return false;
  ipvs::ServerLoad& load = worker.counters.loads[server.id];
  load.sessions.add(1);
  load.persistent.add(1);
  worker.board.loads.begun(server.id);
  (F::family == Family::kV4 ? worker.counters.sessions_v4 : worker.counters.sessions_v6).add(1);
  return true;
}

template <class F>
void take_control(Worker& worker, uint32_t session, uint32_t control) {
  Session<F>& made = worker.sessions<F>().at(session);
  made.flags |= Session<F>::kControlled;
  made.control = control;
  Session<F>& controlling = worker.sessions<F>().at(control);
  controlling.controlled++;
  controlling.deadline = worker.now + controlling.timeout * kSecond;
}

template <class F>
void release_control(Worker& worker, const Session<F>& session) {
  if (session.flags & Session<F>::kControlled)
    worker.sessions<F>().at(session.control).controlled--;
}

template <class F>
void discard(Worker& worker, uint32_t number) {
  const Session<F>& session = worker.sessions<F>().at(number);
  if (session.flags & Session<F>::kTemplate && session.controlled != 0) return;
  uint32_t control = session.flags & Session<F>::kControlled ? session.control : kNoSession;
  retire<F>(worker, number);
  if (control == kNoSession) return;
  const Session<F>& controlling = worker.sessions<F>().at(control);
  if (controlling.controlled == 0 && !(controlling.flags & Session<F>::kAssured))
    retire<F>(worker, control);
}

template <class F>
void assure_control(Worker& worker, const Session<F>& session) {
  if (session.flags & Session<F>::kControlled)
    worker.sessions<F>().at(session.control).flags |= Session<F>::kAssured;
}

template <class F>
bool outlives(Session<F>& session, Nanoseconds now) {
  if (!(session.flags & Session<F>::kTemplate) || session.controlled == 0) return false;
  session.timeout = kReprieve;
  constexpr Nanoseconds kStep = kReprieve * kSecond;
  session.deadline += ((now - session.deadline) / kStep + 1) * kStep;
  return true;
}

template net::Tuple<net::V4> template_key<net::V4>(const ipvs::Service&,
                                                   const net::Tuple<net::V4>&);
template net::Tuple<net::V6> template_key<net::V6>(const ipvs::Service&,
                                                   const net::Tuple<net::V6>&);
template const ipvs::Server* find_template<net::V4>(Worker&, const ipvs::Service&,
                                                    const net::Tuple<net::V4>&, uint32_t&);
template const ipvs::Server* find_template<net::V6>(Worker&, const ipvs::Service&,
                                                    const net::Tuple<net::V6>&, uint32_t&);
template bool begin_template<net::V4>(Worker&, const ipvs::Service&, const net::Tuple<net::V4>&,
                                      const ipvs::Server&, be16, uint32_t&);
template bool begin_template<net::V6>(Worker&, const ipvs::Service&, const net::Tuple<net::V6>&,
                                      const ipvs::Server&, be16, uint32_t&);
template void take_control<net::V4>(Worker&, uint32_t, uint32_t);
template void take_control<net::V6>(Worker&, uint32_t, uint32_t);
template void release_control<net::V4>(Worker&, const Session<net::V4>&);
template void release_control<net::V6>(Worker&, const Session<net::V6>&);
template void discard<net::V4>(Worker&, uint32_t);
template void discard<net::V6>(Worker&, uint32_t);
template void assure_control<net::V4>(Worker&, const Session<net::V4>&);
template void assure_control<net::V6>(Worker&, const Session<net::V6>&);
template bool outlives<net::V4>(Session<net::V4>&, Nanoseconds);
template bool outlives<net::V6>(Session<net::V6>&, Nanoseconds);

}  // namespace shunt::dataplane
