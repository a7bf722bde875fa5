#include "dataplane/full.h"

#include "dataplane/persistence.h"
#include "dataplane/schedule.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// Sessions looked at at once, and how often for a new one.
constexpr unsigned kLooks = 16, kMostLooks = 4;
/// So long a live session must have been idle to be given up for a new one.
constexpr Nanoseconds kIdle = 60'000'000'000;

/// How much a session has deserved to end: 0, never; the longer idle the more; half open or over,
/// the most.
template <class F>
Nanoseconds merit(const Worker& worker, const Session<F>& session) {
  if (session.flags & Session<F>::kTemplate)
    return session.controlled == 0 && !(session.flags & Session<F>::kAssured) ? UINT64_MAX : 0;
  switch (session.state) {
    case ipvs::State::kSynRecv:
    case ipvs::State::kSynAck:
    case ipvs::State::kSctpInit1:
    case ipvs::State::kSctpInit:
      return UINT64_MAX;
    default:
      break;
  }
  if (ipvs::is_closed(session.state) || session.deadline <= worker.now) return UINT64_MAX;
  Nanoseconds whole = uint64_t{1'000'000'000} * worker.board.timeouts.of(session.state);
  Nanoseconds left = session.deadline - worker.now;
  return left < whole && whole - left >= kIdle ? whole - left : 0;
}

bool is_on_its_way(const Burst& kept, uint32_t session) {
  for (unsigned i = 0; i < kept.n; i++)
    if (meta(kept.packets[i]).session == session) return true;
  return false;
}

/// The number of the session that has deserved most to end, of the next few, or kNoSession.
template <class F>
uint32_t least_worth(Worker& worker, const Burst& kept) {
  auto& table = worker.sessions<F>();
  uint32_t& cursor = worker.evict_cursors[F::family == Family::kV6];
  uint32_t numbers[kLooks], least = kNoSession;
  unsigned n = table.dump(cursor, numbers, kLooks);
  if (n == 0) {
    cursor = 0;
    n = table.dump(cursor, numbers, kLooks);
  }
  Nanoseconds most_merit = 0;
  for (unsigned i = 0; i < n && most_merit != UINT64_MAX; i++) {
    table.look(numbers[i]);
    Nanoseconds its = merit(worker, table.at(numbers[i]));
    if (its <= most_merit || is_on_its_way(kept, numbers[i])) continue;
    most_merit = its;
    least = numbers[i];
  }
  return least;
}

/// The room of a session that ended in this turn is for one who `replaces` it (Worker::rooms).
template <class F>
bool has_room(const Worker& worker, bool replaces) {
  const auto& table = worker.sessions<F>();
  return table.size() != table.capacity() && (replaces || worker.room<F>() != 0);
}

}  // namespace

template <class F>
bool is_refused(const Worker& worker, const ipvs::Service& service, bool replaces) {
  if (has_room<F>(worker, replaces)) return false;
  switch (worker.settings.full) {
    case ipvs::FullPolicy::kRefuse:
      return true;
    case ipvs::FullPolicy::kStateless:
      return !service.scheduler->is_hash || service.is_persistent();
    case ipvs::FullPolicy::kEvict:
      return worker.evictions_left == 0;
  }
  return false;
}

template <class F>
void count_admission(Worker& worker, bool replaces) {
  if (worker.settings.full == ipvs::FullPolicy::kEvict && worker.evictions_left != 0 &&
      !has_room<F>(worker, replaces))
    worker.evictions_left--;
}

template <class F>
void make_room(Worker& worker, const Burst& kept, unsigned wanted) {
  auto& table = worker.sessions<F>();
  for (unsigned looks = 0; looks < kMostLooks; looks++) {
    if (table.capacity() - table.size() >= wanted) return;
    uint32_t least = least_worth<F>(worker, kept);
    if (least == kNoSession) continue;
    discard<F>(worker, least);
    worker.counters.evicted.add(1);
  }
}

void begin_stateless(Worker& worker, unsigned packets) noexcept {
  Nanoseconds whole = uint64_t{1'000'000'000} * worker.board.timeouts.of(ipvs::State::kEstablished);
  worker.stateless_until = worker.now + whole;
  worker.counters.stateless.add(packets);
}

template <class F>
bool is_stateless(Worker& worker, const ipvs::Service& service, const Meta& m) {
  if (worker.settings.full != ipvs::FullPolicy::kStateless) return false;
  if (!service.scheduler->is_hash || service.is_persistent()) return false;
  if (!has_room<F>(worker, m.replaces)) return true;
  return m.why == Why::kNotFirst && worker.now < worker.stateless_until;
}

template <class F>
const ipvs::Service* stateless_reply(Worker& worker, Meta& m) {
  if (worker.now >= worker.stateless_until) return nullptr;
  const net::Tuple<F>& tuple = m.tuple<F>();
  const ipvs::Service* service =
      worker.services->only_service_of<F>(tuple.protocol, tuple.source, tuple.source_port);
  if (!service || !service->scheduler->is_hash || service->is_persistent()) return nullptr;
  net::Tuple<F> request = tuple.reversed();
  request.destination = net::address_of<F>(service->key.endpoint.address);
  request.destination_port = be16(service->key.endpoint.port);
  int32_t slot;
  const ipvs::Server* server = schedule<F>(worker, *service, request, false, slot);
  bool is_its = server && server->method == ipvs::ForwardMethod::kMasquerade &&
                net::address_of<F>(server->endpoint.address) == tuple.source &&
                server->endpoint.port == tuple.source_port.host();
  if (!is_its) return nullptr;
  m.server_id = server->id;
  return service;
}

template bool is_refused<net::V4>(const Worker&, const ipvs::Service&, bool);
template bool is_refused<net::V6>(const Worker&, const ipvs::Service&, bool);
template void count_admission<net::V4>(Worker&, bool);
template void count_admission<net::V6>(Worker&, bool);
template void make_room<net::V4>(Worker&, const Burst&, unsigned);
template void make_room<net::V6>(Worker&, const Burst&, unsigned);
template bool is_stateless<net::V4>(Worker&, const ipvs::Service&, const Meta&);
template bool is_stateless<net::V6>(Worker&, const ipvs::Service&, const Meta&);
template const ipvs::Service* stateless_reply<net::V4>(Worker&, Meta&);
template const ipvs::Service* stateless_reply<net::V6>(Worker&, Meta&);

}  // namespace shunt::dataplane
