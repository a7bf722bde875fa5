// Persistence: the templates that lead all sessions of a client, or of its network, to one server.
//
// A template is a session with kTemplate in the session table of the worker that owns the client's
// network. Its request tuple is (masked client, port 0, virtual address, virtual port) with a mark
// that no packet's tuple has; its reply tuple's source is the server, and is in no index. Callers:
// admit, which begins sessions; retire() and the worker's timers, which end them.
// Semantics: ip_vs_sched_persist, ip_vs_check_template (ip_vs_core.c, ip_vs_conn.c).
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// The tuple of the template that a first packet falls under.
template <class F>
net::Tuple<F> template_key(const ipvs::Service& service, const net::Tuple<F>& request);

/// The server that the template of this tuple leads to, and the template's number. None: there is
/// no template, or its server is not to be used (removed, or quiesced and expire_quiescent_template
/// set): then it is hidden, and another may have its tuple.
template <class F>
const ipvs::Server* find_template(Worker& worker, const ipvs::Service& service,
                                  const net::Tuple<F>& key, uint32_t& number);

/// Makes the template that leads from `key` to `server`, for a first packet to `port`; false if
/// there is no room.
template <class F>
bool begin_template(Worker& worker, const ipvs::Service& service, const net::Tuple<F>& key,
                    const ipvs::Server& server, be16 port, uint32_t& number);

/// A session was made from a template, whose time begins anew.
template <class F>
void take_control(Worker& worker, uint32_t session, uint32_t control);

/// A session ends: its template has one less. Nothing, if it has none.
template <class F>
void release_control(Worker& worker, const Session<F>& session);

/// Ends a session before its time, and with it a template that has no other and never had an
/// established one. A template that has sessions stays. (ip_vs_conn_del, ip_vs_conn.c)
template <class F>
void discard(Worker& worker, uint32_t number);

/// A session was established, or answered: so is its template (ASSURED), if it has one.
template <class F>
void assure_control(Worker& worker, const Session<F>& session);

/// A template's time is over: true if it stays, for another minute, because of its sessions.
template <class F>
bool outlives(Session<F>& session, Nanoseconds now);

}  // namespace shunt::dataplane
