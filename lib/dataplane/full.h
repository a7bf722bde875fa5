// What becomes of flows for which the session table has no room (`full` in the conf file). Called
// by admit.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// `full = evict`: first packets that may take another session's place from the first full burst of
/// a turn on, which says that the worker has more to do than it can. Beyond them a flood of SYNs is
/// refused, so that those who have sessions keep their share of it: giving up one and filing
/// another takes as long as forwarding twenty packets.
inline constexpr unsigned kEvictionsWhenBusy = 2;

/// Is a packet that would begin a session of this service refused, since there is no room, before
/// anybody is asked for a server? `replaces`: Meta's.
template <class F>
bool is_refused(const Worker& worker, const ipvs::Service& service, bool replaces);

/// One that was not is about to ask for a server: if the table is full, it is one of those that may
/// take another's place.
template <class F>
void count_admission(Worker& worker, bool replaces);

/// `full = evict`: ends up to `wanted` sessions that are worth least, if the table has less room
/// than that. It looks at a bounded number of them, and passes over those that `kept`, packets on
/// their way in this burst, belong to.
template <class F>
void make_room(Worker& worker, const Burst& kept, unsigned wanted);

/// `full = stateless`: is a flow of this service forwarded without a session now? While the table
/// is full any is; for a while afterwards those are that have none, because theirs was not made.
template <class F>
bool is_stateless(Worker& worker, const ipvs::Service& service, const Meta& m);

/// Remembers that there are flows without a session, of which so many packets are forwarded now.
void begin_stateless(Worker& worker, unsigned packets) noexcept;

/// Is it the answer of a masquerading service's server to a flow without a session, as far as can
/// be told: is it a server of that service alone, and the one its client is sent to now? Then that
/// service, and meta's server_id; else null.
template <class F>
const ipvs::Service* stateless_reply(Worker& worker, Meta& m);

}  // namespace shunt::dataplane
