// What ends sessions before their time without any packet of theirs: drop_entry, and
// expire_nodest_conn for the sessions of removed servers. A bounded number a turn.
#include "dataplane/persistence.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// Sessions looked at in one turn at the most.
constexpr unsigned kPerTurn = 256;

/// May drop_entry end it? Half-open sessions, those that were idle for a minute after few packets,
/// and templates that are not in use and never led to an established session.
/// (ip_vs_random_dropentry, todrop_entry; ip_vs_conn.c)
template <class F>
bool may_drop(const Worker& worker, const Session<F>& session, IdleChoice& choice) {
  constexpr Nanoseconds kIdle = 60'000'000'000;
  if (session.flags & Session<F>::kTemplate)
    return session.controlled == 0 && !(session.flags & Session<F>::kAssured);
  switch (session.state) {
    case ipvs::State::kSynRecv:
    case ipvs::State::kSynAck:
    case ipvs::State::kSctpInit1:
    case ipvs::State::kSctpInit:
      return true;
    case ipvs::State::kEstablished:
    case ipvs::State::kSctpEstablished:
    case ipvs::State::kUdp: {
      Nanoseconds whole = uint64_t{1'000'000'000} * worker.board.timeouts.of(session.state);
      bool idle = session.deadline <= worker.now || worker.now + whole >= session.deadline + kIdle;
      return idle && choice.drops(session.packets);
    }
    default:
      return false;
  }
}

}  // namespace

void Worker::end_sessions_early() {
  drop_entries<net::V4>();
  drop_entries<net::V6>();
  if (services->early_ends() != x_early_ends) {
    x_early_ends = services->early_ends();
    x_seeks_orphans = true;
    x_orphan_cursors[0] = x_orphan_cursors[1] = 0;
  }
  if (!x_seeks_orphans) return;
  bool more4 = end_orphans<net::V4>(x_orphan_cursors[0]);
  bool more6 = end_orphans<net::V6>(x_orphan_cursors[1]);
  x_seeks_orphans = more4 || more6;
}

template <class F>
void Worker::drop_entries() {
  auto& table = sessions<F>();
  for (uint32_t n = defense.take(F::family, kPerTurn); n > 0; n--) {
    x_random ^= x_random << 13;  // xorshift64 (Marsaglia)
    x_random ^= x_random >> 7;
    x_random ^= x_random << 17;
    auto number = static_cast<uint32_t>(x_random % table.capacity());
    if (!table.is_used(number)) continue;
    table.look(number);
    if (may_drop<F>(*this, table.at(number), x_idle_choice)) discard<F>(*this, number);
  }
}

/// One step of the walk over all sessions after servers were removed; false at its end. A
/// template goes with the last of its sessions (ip_vs_expire_nodest_conn_flush, ip_vs_conn.c).
template <class F>
bool Worker::end_orphans(uint32_t& cursor) {
  auto& table = sessions<F>();
  uint32_t numbers[kPerTurn];
  unsigned n = table.dump(cursor, numbers, kPerTurn);
  for (unsigned i = 0; i < n; i++) {
    if (!table.is_used(numbers[i])) continue;  // a template that went with its session
    const Session<F>& session = table.at(numbers[i]);
    if (board.configured.has(session.server_id)) continue;
    if (session.flags & Session<F>::kTemplate && session.controlled > 0) continue;
    uint32_t control = session.flags & Session<F>::kControlled ? session.control : kNoSession;
    retire<F>(*this, numbers[i]);
    if (control != kNoSession && table.at(control).controlled == 0) retire<F>(*this, control);
  }
  return n != 0;
}

}  // namespace shunt::dataplane
