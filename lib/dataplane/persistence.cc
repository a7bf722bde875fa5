#include "dataplane/persistence.h"

#include <algorithm>

#include "dataplane/help.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
/// What a template gets whose time is over while it has sessions; from then on it is its timeout
/// (ip_vs_conn_expire).
constexpr uint32_t kReprieve = 60;
/// In a tuple's spare bytes: the tuple of a template, not of a packet; and of one with a Call-ID,
/// whose number is in the other spare bytes and the client's port.
constexpr uint8_t kTemplateMark = 1, kCallIdMark = 2;

template <class F>
void note_row(net::Tuple<F>& key, uint32_t row) {
  key.zero[0] = kCallIdMark;
  key.zero[1] = static_cast<uint8_t>(row >> 16);
  key.zero[2] = static_cast<uint8_t>(row >> 24);
  key.source_port = be16(static_cast<uint16_t>(row));
}
template <class F>
uint32_t row_of(const net::Tuple<F>& key) {
  return uint32_t{key.zero[2]} << 24 | uint32_t{key.zero[1]} << 16 | key.source_port.host();
}

template <class F>
CallIds::Name bytes_of(const TemplateName<F>& name) {
  return {reinterpret_cast<const char*>(&name.key), sizeof name.key};
}

/// A row for a new template's Call-ID; kNone if there is none for it.
template <class F>
uint32_t take_row(Worker& worker, const TemplateName<F>& name) {
  const uint16_t group = Ration::group_of<F>(name.key.source);
  if (!worker.call_id_ration<F>().take(group)) return CallIds::kNone;
  const uint32_t row = worker.call_ids<F>().add(bytes_of(name), name.call_id);
  if (row == CallIds::kNone) worker.call_id_ration<F>().give_back(group);
  return row;
}
template <class F>
void free_row(Worker& worker, const Session<F>& session, uint32_t row) {
  worker.call_ids<F>().remove(row);
  worker.call_id_ration<F>().give_back(Ration::group_of<F>(session.request.source));
}

/// (ip_vs_sip_ct_match)
template <class F>
uint32_t find_by_call_id(Worker& worker, const TemplateName<F>& name) {
  return worker.call_ids<F>().find(bytes_of(name), name.call_id, [&](uint32_t number) {
    const net::Tuple<F>& found = worker.sessions<F>().at(number).request;
    return found.source == name.key.source && found.destination == name.key.destination &&
           found.destination_port == name.key.destination_port &&
           found.protocol == name.key.protocol;
  });
}
static_assert(CallIds::kNone == kNoSession);

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

bool is_usable(Worker& worker, const ipvs::Server* server, uint32_t only) {
  if (!server || (only != ipvs::kNoServer && server->id != only)) return false;
  return server->weight != 0 || !worker.board.knobs.of(ipvs::Knob::kExpireQuiescentTemplate);
}

}  // namespace

template <class F>
TemplateName<F> template_name(const ipvs::Service& service, const net::Tuple<F>& request) {
  TemplateName<F> name{};
  net::Tuple<F>& key = name.key;
  key.source = ipvs::network_of<F>(request.source, service.netmask);
  key.zero[0] = kTemplateMark;
  if (service.key.fwmark) {
    Endpoint mark = ipvs::mark_endpoint(service.key.fwmark, F::family);
    key.destination = net::address_of<F>(mark.address);
    return name;
  }
  key.destination = request.destination;
  key.protocol = request.protocol;
  // Connections of FTP, and of a service that takes every port, stay together.
  uint16_t port = service.key.endpoint.port;
  if (request.destination_port.host() == port && port != ipvs::kFtpPort)
    key.destination_port = request.destination_port;
  return name;
}

std::string_view call_id_in(rte_mbuf* packet) {
  const net::Parsed& parsed = meta(packet).parsed;
  if (parsed.protocol != net::kUdp || parsed.kind != net::Kind::kFlow) return {};
  // What was put together of fragments may be in several buffers, and too long for one.
  if (packet->nb_segs > 1) rte_pktmbuf_linearize(packet);
  const size_t from = parsed.l4_offset + sizeof(net::UdpHeader);
  const size_t end = std::min<size_t>(parsed.ip_end, packet->data_len);
  if (from >= end) return {};
  return net::call_id({reinterpret_cast<const char*>(bytes(packet) + from), end - from});
}

template <class F>
const ipvs::Server* find_template(Worker& worker, const ipvs::Service& service,
                                  const TemplateName<F>& name, uint32_t& number, uint32_t only) {
  constexpr uint16_t kNowhere = 65535;  // as the kernel shows a template that is not used any more
  auto& sessions = worker.sessions<F>();
  number = name.call_id.empty() ? sessions.lookup(name.key).session : find_by_call_id(worker, name);
  if (number == kNoSession) return nullptr;
  Session<F>& found = sessions.at(number);
  if (found.deadline <= worker.now && !outlives<F>(found, worker.now)) {
    retire<F>(worker, number);
    return nullptr;
  }
  const ipvs::Server* server = server_of<F>(worker, service, found);
  if (is_usable(worker, server, only)) return server;
  sessions.hide(number);
  found.request.destination_port = found.reply.source_port = be16(kNowhere);
  return nullptr;
}

template <class F>
bool begin_template(Worker& worker, const ipvs::Service& service, const TemplateName<F>& name,
                    const ipvs::Server& server, be16 port, uint32_t& number,
                    ipvs::DropReason& reason) {
  Session<F> made{};
  made.request = name.key;
  made.reply.source = net::address_of<F>(server.endpoint.address);
  uint16_t own = service.key.endpoint.port;
  if (port.host() == own && own != ipvs::kFtpPort)
    made.reply.source_port = be16(server.endpoint.port);
  made.server_id = server.id;
  made.method = server.method;
  made.flags = Session<F>::kTemplate;
  made.timeout = service.persistence_timeout;
  made.deadline = worker.now + made.timeout * kSecond;
  uint32_t row = CallIds::kNone;
  if (!name.call_id.empty()) {
    row = take_row<F>(worker, name);
    if (row == CallIds::kNone) {
      reason = ipvs::DropReason::kCallIdsFull;
      return false;
    }
    note_row<F>(made.request, row);
  }
  if (worker.sessions<F>().insert(&made, 1, &number) == 0) {
    if (row != CallIds::kNone) free_row<F>(worker, made, row);
    reason = ipvs::DropReason::kTableFull;
    return false;
  }
  if (row != CallIds::kNone) worker.call_ids<F>().belongs(row, number);
  ipvs::ServerLoad& load = worker.counters.loads[server.id];
  load.sessions.add(1);
  load.persistent.add(1);
  worker.board.loads.begun(server.id);
  (F::family == Family::kV4 ? worker.counters.sessions_v4 : worker.counters.sessions_v6).add(1);
  return true;
}

template <class F>
std::string_view call_id_of(const Worker& worker, const Session<F>& session) {
  if (session.request.zero[0] != kCallIdMark) return {};
  return worker.call_ids<F>().text(row_of<F>(session.request));
}

template <class F>
void forget_call_id(Worker& worker, const Session<F>& session) {
  if (session.request.zero[0] == kCallIdMark)
    free_row<F>(worker, session, row_of<F>(session.request));
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
  if (is_awaiting<F>(worker, number)) return;
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

template TemplateName<net::V4> template_name<net::V4>(const ipvs::Service&,
                                                      const net::Tuple<net::V4>&);
template const ipvs::Server* find_template<net::V4>(Worker&, const ipvs::Service&,
                                                    const TemplateName<net::V4>&, uint32_t&,
                                                    uint32_t);
template bool begin_template<net::V4>(Worker&, const ipvs::Service&, const TemplateName<net::V4>&,
                                      const ipvs::Server&, be16, uint32_t&, ipvs::DropReason&);
template std::string_view call_id_of<net::V4>(const Worker&, const Session<net::V4>&);
template void forget_call_id<net::V4>(Worker&, const Session<net::V4>&);
template TemplateName<net::V6> template_name<net::V6>(const ipvs::Service&,
                                                      const net::Tuple<net::V6>&);
template const ipvs::Server* find_template<net::V6>(Worker&, const ipvs::Service&,
                                                    const TemplateName<net::V6>&, uint32_t&,
                                                    uint32_t);
template bool begin_template<net::V6>(Worker&, const ipvs::Service&, const TemplateName<net::V6>&,
                                      const ipvs::Server&, be16, uint32_t&, ipvs::DropReason&);
template std::string_view call_id_of<net::V6>(const Worker&, const Session<net::V6>&);
template void forget_call_id<net::V6>(Worker&, const Session<net::V6>&);
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
