#include "dataplane/speak.h"

#include "dataplane/begin.h"
#include "dataplane/persistence.h"
#include "dataplane/service_of.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

template <class F>
const ipvs::Server* server_at(const ipvs::Service& service, const net::Tuple<F>& tuple) {
  const Endpoint at{tuple.source, tuple.source_port.host()};
  for (const ipvs::Server& server : service.servers)
    if (server.endpoint == at) return &server;
  return nullptr;
}

/// The template that the server's client falls under leads to the server. False: there is no
/// Call-ID, or no room.
template <class F>
bool lead(Worker& worker, const ipvs::Service& service, const ipvs::Server& server,
          const net::Tuple<F>& request, rte_mbuf* packet, uint32_t& control) {
  TemplateName<F> name = template_name<F>(service, request);
  name.call_id = call_id_in(packet);
  if (name.call_id.empty()) return false;
  ipvs::DropReason reason;
  return find_template<F>(worker, service, name, control, server.id) ||
         begin_template<F>(worker, service, name, server, request.destination_port, control,
                           reason);
}

}  // namespace

template <class F>
const ipvs::Service* speaker_of(const Worker& worker, const Meta& m) {
  if (!worker.services->has_speakers()) return nullptr;
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (tuple.protocol != net::kUdp || m.parsed.kind != net::Kind::kFlow) return nullptr;
  const ipvs::Service* service = worker.services->speaker<F>(tuple.source, tuple.source_port);
  if (!service || service_of<F>(worker, m)) return nullptr;
  if (worker.routes->judge_source(Address(tuple.destination)) != share::SourceVerdict::kAccepted)
    return nullptr;
  return service;
}

template <class F>
bool speak(Worker& worker, const ipvs::Service& service, rte_mbuf* packet, unsigned place) {
  Meta& m = meta(packet);
  const ipvs::Server* server = server_at<F>(service, m.tuple<F>());
  if (!server) return false;
  Session<F> session{};
  session.reply = ends_of<F>(m.tuple<F>());
  session.request = m.tuple<F>().reversed();
  session.request.destination = net::address_of<F>(service.key.endpoint.address);
  session.request.destination_port = be16(service.key.endpoint.port);
  session.server_id = server->id;
  session.hop_in = session.hop_out = kNoHop;
  session.method = ipvs::ForwardMethod::kMasquerade;
  session.state = ipvs::State::kUdp;
  session.flags = Session<F>::kHasReply;
  session.deadline = worker.deadline_of(session.state);
  uint32_t control = kNoSession;
  if (service.is_persistent() &&
      !lead<F>(worker, service, *server, session.request, packet, control))
    return false;
  const bool one_packet = service.flags & ipvs::kOnePacket;
  if (one_packet) {
    m.session = lend<F>(worker, session, place);
  } else {
    // What the client sends next is for the server that spoke last.
    if (Hit before = worker.sessions<F>().lookup(session.request))
      retire<F>(worker, before.session);
    fill_deltas<F>(session);
    if (!file_session<F>(worker, session, m.session)) return false;
    worker.counters.servers[server->id].connections.add(1);
  }
  if (control != kNoSession) take_control<F>(worker, m.session, control);
  if (one_packet) {
    assure_control<F>(worker, worker.sessions<F>().at(m.session));
    end_lent<F>(worker, m.session);
  }
  m.server_id = server->id;
  m.service_id = service.id;
  m.is_reply = true;
  m.why = Why::kScheduled;
  return true;
}

template const ipvs::Service* speaker_of<net::V4>(const Worker&, const Meta&);
template const ipvs::Service* speaker_of<net::V6>(const Worker&, const Meta&);
template bool speak<net::V4>(Worker&, const ipvs::Service&, rte_mbuf*, unsigned);
template bool speak<net::V6>(Worker&, const ipvs::Service&, rte_mbuf*, unsigned);

}  // namespace shunt::dataplane
