// begin: what all have to do who begin sessions: admit for clients, speak for
// servers, help for both.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// What has to be added to checksums on the way to the server, from the session's tuples; the way
/// back takes it away again.
template <class F>
void fill_deltas(Session<F>& session);

/// Makes room for `reply` if the session that has it is over. Another one that has it, too, gets
/// behind the new one: `other`; false if it is a request of one.
template <class F>
bool clear_reply(Worker& worker, const net::Tuple<F>& reply, Hit& other);

/// The reply tuple of a NAT session, local endpoint included where clients are hidden: then
/// `before`, if it is not 0, is the local port that its client had before; else `older` is the one
/// that has it, too.
template <class F>
bool fill_reply(Worker& worker, uint16_t before, Session<F>& session, Hit& older,
                ipvs::DropReason& reason);

/// Files a session and counts it as its server's; false if there is no room or one of its tuples
/// is taken. `older`: see `known` of SessionTable::insert().
template <class F>
bool file_session(Worker& worker, const Session<F>& session, uint32_t& number,
                  const Hit* older = nullptr);

/// A session for a packet alone, that no other finds (one-packet scheduling): `place` is free in
/// this burst.
template <class F>
uint32_t lend(Worker& worker, Session<F>& session, unsigned place);

/// A lent session has come and is gone, as far as counts, thresholds and templates are concerned.
template <class F>
void end_lent(Worker& worker, uint32_t number);

}  // namespace shunt::dataplane
