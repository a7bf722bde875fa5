// Persistence: the templates that lead all sessions of a client, or of its network, to one server.
//
// A template is a session with kTemplate in the session table of the worker that owns the client's
// network. Its request tuple is (masked client, port 0, virtual address, virtual port) with a mark
// that no packet's tuple has; its reply tuple's source is the server, and is in no index. With --pe
// sip it has a Call-ID, too: its tuple then holds the number of that, so that it is no other's, and
// CallIds finds it. Callers: admit and speak, which begin sessions; retire() and the worker's
// timers, which end them.
// Semantics: ip_vs_sched_persist, ip_vs_check_template (ip_vs_core.c, ip_vs_conn.c),
// ip_vs_pe_sip.c.
#pragma once

#include <string_view>

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// What a template is found by.
template <class F>
struct TemplateName {
  net::Tuple<F> key;
  std::string_view call_id;  ///< empty: the service has no engine
};

/// The name of the template that a first packet of a client falls under; `request` as clients send.
template <class F>
TemplateName<F> template_name(const ipvs::Service& service, const net::Tuple<F>& request);

/// The Call-ID in a packet of UDP; empty if there is none. It lies in the packet.
std::string_view call_id_in(rte_mbuf* packet);

/// The server that the template of this name leads to, and the template's number. None: there is
/// no template, or its server is not to be used (removed, or quiesced and expire_quiescent_template
/// set; or, where `only` is a server, it is not that one): then it is hidden, and another may have
/// its name.
template <class F>
const ipvs::Server* find_template(Worker& worker, const ipvs::Service& service,
                                  const TemplateName<F>& name, uint32_t& number,
                                  uint32_t only = ipvs::kNoServer);

/// Makes the template that leads from `name` to `server`, for a first packet to `port`; false if
/// there is no room, and `reason` says for what.
template <class F>
bool begin_template(Worker& worker, const ipvs::Service& service, const TemplateName<F>& name,
                    const ipvs::Server& server, be16 port, uint32_t& number,
                    ipvs::DropReason& reason);

/// Of a template with a Call-ID that one, else empty.
template <class F>
std::string_view call_id_of(const Worker& worker, const Session<F>& session);

/// A template ends: its Call-ID, if it has one, is forgotten.
template <class F>
void forget_call_id(Worker& worker, const Session<F>& session);

/// A session was made from a template, whose time begins anew.
template <class F>
void take_control(Worker& worker, uint32_t session, uint32_t control);

/// A session ends: its template has one less. Nothing, if it has none.
template <class F>
void release_control(Worker& worker, const Session<F>& session);

/// Ends a session before its time, and with it a template that has no other and never had an
/// established one. One that has sessions of its own stays. (ip_vs_conn_del, ip_vs_conn.c)
template <class F>
void discard(Worker& worker, uint32_t number);

/// A session was established, or answered: so is its template (ASSURED), if it has one.
template <class F>
void assure_control(Worker& worker, const Session<F>& session);

/// A template's time is over: true if it stays, for another minute, because of its sessions.
template <class F>
bool outlives(Session<F>& session, Nanoseconds now);

}  // namespace shunt::dataplane
