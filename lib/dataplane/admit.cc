// admit: packets without a session. One that may begin one gets a server from its service's
// scheduler and a session; all others are Linux's (ip_vs_try_to_schedule, ip_vs_schedule).
#include <bit>
#include <cstring>

#include "dataplane/begin.h"
#include "dataplane/full.h"
#include "dataplane/help.h"
#include "dataplane/ingress.h"
#include "dataplane/persistence.h"
#include "dataplane/schedule.h"
#include "dataplane/service_of.h"
#include "dataplane/speak.h"
#include "dataplane/stages.h"
#include "net/edit.h"

namespace shunt::dataplane {

namespace {

using ipvs::Knob;

/// How long a session lives that an ICMP error began (ip_vs_conn_new).
constexpr Nanoseconds kIcmpBegan = 3'000'000'000;

/// SCTP without a chunk says nothing: Linux drops it (sctp_conn_schedule).
bool is_empty_sctp(const net::Parsed& parsed) {
  bool has_header = parsed.kind == net::Kind::kFlow || parsed.has_ports;
  return parsed.protocol == net::kSctp && has_header && !parsed.has_chunk;
}

/// TCP needs a SYN without RST, or with sloppy_tcp no RST; SCTP an INIT first, or with sloppy_sctp
/// no ABORT.
bool begins_flow(const share::SharedKnobs& knobs, const net::Parsed& parsed) {
  if (parsed.protocol == net::kUdp) return true;
  if (parsed.protocol == net::kSctp) {
    using Chunk = net::SctpChunkHeader;
    if (parsed.chunk_type == Chunk::kInit) return true;
    return parsed.chunk_type != Chunk::kAbort && knobs.of(Knob::kSloppySctp) != 0;
  }
  constexpr uint8_t kMask = net::TcpHeader::kSyn | net::TcpHeader::kRst;
  if ((parsed.tcp_flags & kMask) == net::TcpHeader::kSyn) return true;
  return !(parsed.tcp_flags & net::TcpHeader::kRst) && knobs.of(Knob::kSloppyTcp) != 0;
}

/// May this packet begin a session? FTP's data connections come from servers and are never
/// scheduled, nor errors about them. An ICMP error needs schedule_icmp.
template <class F>
bool may_begin(const share::SharedKnobs& knobs, const Meta& m) {
  if (m.tuple<F>().source_port.host() == ipvs::kFtpDataPort) return false;
  if (m.parsed.kind == net::Kind::kIcmpError) return knobs.of(Knob::kScheduleIcmp) != 0;
  return begins_flow(knobs, m.parsed);
}

/// Is it a masqueraded server's packet that belongs to no session, and is the server to be told so?
/// A reset is not answered, nor what may not be forwarded. (nat_icmp_send; ip_vs_out_hook,
/// ip_vs_core.c)
template <class F>
bool is_stray_reply(const Worker& worker, rte_mbuf* packet) {
  const Meta& m = meta(packet);
  if (m.parsed.kind != net::Kind::kFlow || worker.board.knobs.of(Knob::kNatIcmpSend) == 0)
    return false;
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (tuple.protocol == net::kTcp && (m.parsed.tcp_flags & net::TcpHeader::kRst)) return false;
  const auto* ip = reinterpret_cast<const typename F::Header*>(bytes(packet) + m.parsed.l3_offset);
  if (F::hop_limit(*ip) <= 1) return false;
  return worker.services->has_real_server<F>(tuple.protocol, tuple.source, tuple.source_port);
}

/// The port that a session's packets go to at the server, by the port they came to.
uint16_t server_port(const ipvs::Service& service, const ipvs::Server& server, uint16_t port) {
  bool own = !service.is_persistent() || port == service.key.endpoint.port;
  return own && server.endpoint.port ? server.endpoint.port : port;
}

template <class F>
Session<F> new_session(const Meta& m, const ipvs::Server& server, uint16_t port) {
  Session<F> session{};
  session.request = m.tuple<F>();
  session.reply.source = net::address_of<F>(server.endpoint.address);
  session.reply.source_port = be16(port);
  session.server_id = server.id;
  session.hop_in = session.hop_out = kNoHop;
  session.method = server.method;
  session.state = ipvs::first_state(session.request.protocol);
  return session;
}

/// Did the client choose this endpoint from many that the service has?
bool is_chosen(const ipvs::Service& service, be16 port) {
  return service.key.fwmark != 0 || service.key.endpoint.port != port.host();
}

/// The tuples of sessions that packets of this burst have begun, as bits: most packets need not ask
/// the index once more.
template <class F>
class Begun {
 public:
  bool may_have(const net::Tuple<F>& tuple) const {
    const uint32_t bit = bit_of(tuple);
    return x_bits[bit / 64] >> bit % 64 & 1;
  }
  void add(const Session<F>& session) {
    set(session.request);
    constexpr uint16_t kReplies = Session<F>::kHasReply | Session<F>::kInFront;
    if (session.flags & kReplies) set(session.reply_tuple());
  }

 private:
  static constexpr uint32_t kBits = 9;
  static uint32_t bit_of(const net::Tuple<F>& tuple) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i < sizeof tuple / 8; i++) {
      std::memcpy(&word, reinterpret_cast<const uint8_t*>(&tuple) + i * 8, 8);
      sum = std::rotl(sum, 23) ^ word;
    }
    return static_cast<uint32_t>((sum ^ sum >> 32) * 0x9e3779b97f4a7c15 >> (64 - kBits));
  }
  void set(const net::Tuple<F>& tuple) {
    const uint32_t bit = bit_of(tuple);
    x_bits[bit / 64] |= uint64_t{1} << bit % 64;
  }
  uint64_t x_bits[(1u << kBits) / 64] = {};
};

template <class F>
bool begin_session(Worker& worker, Meta& m, const ipvs::Service& service,
                   const ipvs::Server& server, uint16_t port, ipvs::DropReason& reason) {
  Session<F> session = new_session<F>(m, server, port);
  if (is_chosen(service, session.request.destination_port)) session.found = Session<F>::kChosen;
  Hit older;
  if (server.method == ipvs::ForwardMethod::kMasquerade) {
    if (!fill_reply<F>(worker, m.local_port, session, older, reason)) return false;
  } else {
    session.flags |= Session<F>::kNoOutput;
  }
  // advance sets the state and the true deadline; the wheel needs one now.
  session.deadline = m.parsed.kind == net::Kind::kIcmpError ? worker.now + kIcmpBegan
                                                            : worker.deadline_of(session.state);
  // Its tuple was looked for, unless a control connection has announced it meanwhile.
  const bool is_known = worker.helped<F>().empty() && !(session.flags & Session<F>::kMasqueraded);
  if (!file_session<F>(worker, session, m.session, is_known ? &older : nullptr)) {
    const auto& table = worker.sessions<F>();
    reason = table.size() == table.capacity() ? ipvs::DropReason::kTableFull
                                              : ipvs::DropReason::kIndexFull;
    return false;
  }
  if (!m.replaces) worker.take_room<F>();
  if (session.request.destination_port == be16(ipvs::kFtpPort)) begin_help<F>(worker, m.session);
  worker.counters.servers[server.id].connections.add(1);
  m.server_id = server.id;
  m.is_reply = false;
  return true;
}

/// One-packet scheduling: a session for this packet alone, that no answer finds. Its client is not
/// hidden either. `place` is free in this burst.
template <class F>
void lend_session(Worker& worker, Meta& m, const ipvs::Server& server, uint16_t port,
                  unsigned place) {
  Session<F> session = new_session<F>(m, server, port);
  session.reply.destination = session.request.source;
  session.reply.destination_port = session.request.source_port;
  m.session = lend<F>(worker, session, place);
  m.server_id = server.id;
  m.is_reply = false;
}

/// The answer of a server to a client whose flow has no session.
template <class F>
bool lend_reply(Worker& worker, Meta& m, unsigned place) {
  const ipvs::Service* service = stateless_reply<F>(worker, m);
  if (!service) return false;
  const net::Tuple<F>& tuple = m.tuple<F>();
  Session<F> session{};
  session.reply = ends_of<F>(tuple);
  session.request = tuple.reversed();
  session.request.destination = net::address_of<F>(service->key.endpoint.address);
  session.request.destination_port = be16(service->key.endpoint.port);
  session.server_id = m.server_id;
  session.hop_in = session.hop_out = kNoHop;
  session.method = ipvs::ForwardMethod::kMasquerade;
  session.state = ipvs::first_state(tuple.protocol);
  fill_deltas<F>(session);
  m.session = worker.sessions<F>().lend(place, session);
  m.service_id = service->id;
  m.is_reply = true;
  worker.counters.stateless.add(1);
  return true;
}

/// One without a session. False where its client would be hidden: that takes a port of its own.
template <class F>
bool lend_stateless(Worker& worker, Meta& m, const ipvs::Service& service,
                    const ipvs::Server& server, uint16_t port, unsigned place) {
  const share::Route* way = worker.routes->lookup(server.endpoint.address);
  if (server.method == ipvs::ForwardMethod::kMasquerade && way && way->masquerade) return false;
  if (m.why == Why::kScheduled) worker.counters.servers[server.id].connections.add(1);
  begin_stateless(worker, 1);
  lend_session<F>(worker, m, server, port, place);
  if constexpr (F::family == Family::kV4) worker.picks.meet(worker, service, m.tuple<F>());
  return true;
}

template <class F>
void admit_one(Worker& worker, rte_mbuf* packet, Burst& found) {
  Meta& m = meta(packet);
  const net::Tuple<F>& tuple = m.tuple<F>();
  if (m.parsed.kind == net::Kind::kTunnelError || m.from_twin) return worker.to_kernel(packet);
  if (m.parsed.kind == net::Kind::kIpsec) {
    // Only what belongs to a key exchange is IPVS's (ah_esp_conn_schedule).
    m.why = Why::kNotFirst;
    return worker.to_kernel(packet);
  }
  const bool optional = has_options<F>(packet, m.parsed);
  if (optional &&
      worker.services->has_real_server<F>(tuple.protocol, tuple.source, tuple.source_port) &&
      refuse_options<F>(worker, packet, true))
    return;
  if (worker.services->has_speakers())
    if (const ipvs::Service* speaker = speaker_of<F>(worker, m))
      if (speak<F>(worker, *speaker, packet, found.n)) return found.add(packet);
  if (lend_reply<F>(worker, m, found.n)) {
    m.why = Why::kReply;
    return found.add(packet);
  }
  if (is_stray_reply<F>(worker, packet)) {
    net::lower_hop_limit<F>(bytes(packet), m.parsed);  // Linux quotes it as forwarded
    answer<F>(worker, packet, net::IcmpError::kPortUnreachable,
              own_source<F>(worker, tuple.source, tuple.destination));
    return worker.drop(packet, ipvs::DropReason::kNoSession);
  }
  const auto& destination = worker.recent<F>().destination(tuple, *worker.services, *worker.routes);
  const ipvs::Service* service = destination.service;
  if (!worker.board.marks.empty()) service = service_to_begin<F>(worker, packet);
  if (!service || !destination.is_local) {
    m.why = Why::kNoService;
    return worker.to_kernel(packet);
  }
  m.service_id = service->id;
  if (is_empty_sctp(m.parsed)) return worker.drop(packet, ipvs::DropReason::kShortTransport);
  bool one_packet = service->flags & ipvs::kOnePacket && tuple.protocol == net::kUdp;
  bool begins = may_begin<F>(worker.board.knobs, m);
  m.why = begins ? Why::kScheduled : Why::kNotFirst;
  if (!begins && !is_stateless<F>(worker, *service, m)) return worker.to_kernel(packet);
  const bool is_ftps = is_kept_for_ftp(*service, tuple.destination_port);
  const bool needs_room = !one_packet && !is_ftps;
  if (needs_room && is_refused<F>(worker, *service, m.replaces))
    return worker.drop(packet, ipvs::DropReason::kTableFull);
  if (refuse_source<F>(worker, packet) || (optional && refuse_options<F>(worker, packet, false)))
    return;
  if (needs_room) count_admission<F>(worker, m.replaces);
  if (begins && worker.defense.drops_packet())
    return worker.drop(packet, ipvs::DropReason::kDropRate);
  uint16_t port = tuple.destination_port.host();
  bool persistent = service->is_persistent();
  bool maybe_ftp = may_be_ftp_data(*service, tuple.destination_port);
  if (is_ftps) {
    m.why = Why::kNoService;
    return worker.to_kernel(packet);
  }
  TemplateName<F> name;
  uint32_t control = kNoSession;
  const ipvs::Server* server = nullptr;
  if (persistent) {
    name = template_name<F>(*service, tuple);
    if (service->by_call_id) {
      if (m.parsed.kind != net::Kind::kIcmpError) name.call_id = call_id_in(packet);
      if (name.call_id.empty()) return worker.drop(packet, ipvs::DropReason::kNoCallId);
    }
    server = find_template<F>(worker, *service, name, control);
  }
  bool begins_template = persistent && !server;
  const bool is_quoted = m.parsed.kind == net::Kind::kIcmpError;
  if (!server) server = schedule<F>(worker, *service, tuple, is_quoted, m.slot);
  if (!server && maybe_ftp) {
    m.why = Why::kNoServer;
    return worker.to_kernel(packet);
  }
  if (!server) {
    m.why = Why::kNoServer;
    answer<F>(worker, packet, net::IcmpError::kPortUnreachable, tuple.destination);
    return worker.drop(packet, ipvs::DropReason::kNoServer);
  }
  if (const unsigned sessions = !one_packet + begins_template;
      sessions != 0 && worker.settings.full == ipvs::FullPolicy::kEvict)
    make_room<F>(worker, found, sessions);
  ipvs::DropReason reason;
  if (begins_template) {
    if (!begin_template<F>(worker, *service, name, *server, tuple.destination_port, control,
                           reason))
      return worker.drop(packet, reason);
    worker.take_room<F>();
  }
  port = server_port(*service, *server, port);
  if (one_packet) {
    lend_session<F>(worker, m, *server, port, found.n);
  } else if (is_stateless<F>(worker, *service, m)) {
    if (lend_stateless<F>(worker, m, *service, *server, port, found.n)) return found.add(packet);
    return begins ? worker.drop(packet, ipvs::DropReason::kTableFull) : worker.to_kernel(packet);
  } else if (!begin_session<F>(worker, m, *service, *server, port, reason)) {
    return worker.drop(packet, reason);
  }
  if (persistent) take_control<F>(worker, m.session, control);
  if (one_packet) end_lent<F>(worker, m.session);
  if constexpr (F::family == Family::kV4)
    if (one_packet) worker.picks.meet(worker, *service, tuple);
  found.add(packet);
}

}  // namespace

template <class F>
void admit(Worker& worker, const Burst& missed, Burst& found) {
  Begun<F> begun;
  for (unsigned i = 0; i < missed.n; i++) {
    rte_mbuf* packet = missed.packets[i];
    Meta& m = meta(packet);
    // An earlier packet of this burst may have begun the very session.
    if (begun.may_have(m.template tuple<F>())) {
      if (Hit hit = worker.sessions<F>().lookup(m.template tuple<F>())) {
        m.session = hit.session;
        m.is_reply = hit.is_reply;
        found.add(packet);
        continue;
      }
    }
    unsigned before = found.n;
    admit_one<F>(worker, packet, found);
    if (found.n != before && !worker.sessions<F>().is_lent(m.session))
      begun.add(worker.sessions<F>().at(m.session));
  }
}

template void admit<net::V4>(Worker&, const Burst&, Burst&);
template void admit<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
