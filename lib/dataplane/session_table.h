// The sessions of one worker and one family: an index from tuples to sessions, and their timers.
//
// Owned by one worker, never locked. All memory is taken by create(); a full table refuses. A
// lookup is exact (tuple_index.h).
//
// A session whose reply tuple is indexed too (kHasReply) is found by both. Two that go from one
// client endpoint to one server endpoint, for other virtual endpoints, have one reply tuple: it is
// the newest's, and when that ends the next one's, as in IPVS (ip_vs_conn_out_get). Timers: packets
// write only Session::deadline; the wheel files a session once and re-files it lazily when its slot
// comes round. A jump of time, however far, is one step: one look at every slot.
//
// An IPv4 session can be swift (flow_plans.h): then its packets write into its word of the index
// instead. Whoever reads a session's deadline looks at it first (look()), and whoever lets a packet
// change it slows it down (slow_down()).
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "dataplane/flow_plans.h"
#include "dataplane/session.h"
#include "dataplane/timing_wheel.h"
#include "dataplane/tuple_index.h"

namespace shunt::dataplane {

/// What all swift flows depend on. When it changes, or time leaps, they slow down.
struct FlowConditions {
  uint32_t routes_generation = 0, path_mtus = 0;  ///< tunnels'
  uint32_t established = 0, udp = 0;              ///< timeouts, in seconds
  bool secures_tcp = false, finds_path_mtus = true;
  friend bool operator==(const FlowConditions&, const FlowConditions&) = default;
};

/// Whole cache lines, so that it shares none with another worker's.
template <class F>
class alignas(64) SessionTable {
 public:
  using Keys = typename TupleIndex<F>::Keys;
  /// `capacity` sessions, 1..kMostSessions; `name` for messages; `keys` for the index's hashes.
  /// Errors: not enough memory, with the number of MiB that were wanted.
  static Result<std::unique_ptr<SessionTable>> create(const char* name, uint32_t capacity,
                                                      const Keys& keys, int socket);
  /// What create() takes of DPDK's memory on that socket, estimated from above.
  static uint64_t bytes_wanted(uint32_t capacity);
  static constexpr uint32_t kMostSessions = TupleIndex<F>::kMostSessions;
  ~SessionTable();
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  static constexpr unsigned kBurst = 64;  ///< most keys of one call

  /// hits[i] for each of keys[0..n), n <= kBurst. Does not look at deadlines.
  void lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const {
    x_index.lookup(keys, n, hits);
  }
  Hit lookup(const net::Tuple<F>& key) const { return x_index.find(key); }

  /// For those who look up by themselves, a step at a time.
  const TupleIndex<F>& index() const { return x_index; }
  TupleIndex<F>& index() { return x_index; }

  /// Once a turn, before any packet. `changes`: Board::changes(), which put their plans in doubt.
  void begin_turn(Nanoseconds now, const FlowConditions& conditions, uint64_t changes);
  const FlowConditions& conditions() const { return x_conditions; }
  uint64_t tick() const { return x_tick; }
  const FlowPlans& plans() const { return x_plans; }
  /// Once a turn, behind all packets: brings the counters of so many plans' servers up to date.
  void settle(unsigned plans) { x_plans.settle(plans); }

  /// Brings a session's deadline up to date.
  void look(uint32_t number) {
    if (x_sessions[number].found & Session<F>::kSwift) look_at_word(number);
  }
  /// The same, and from now on packets write the deadline themselves.
  void slow_down(uint32_t number) {
    if (x_sessions[number].found & Session<F>::kSwift) take_plan(number);
  }
  /// The flow of an exact session that is not swift gets this plan, if there is room for another
  /// one; its deadline is the plan's lifetime from now.
  void speed_up(uint32_t number, const FlowPlan& plan, const FlowBasis& basis);

  /// Copies n sessions in. numbers[i] is the new number, or kNoSession where the table is full or
  /// one of its tuples is already there, other than as another's reply tuple both times (then
  /// nothing of that session is indexed). Files the timer by `deadline`. Returns how many went in.
  /// `known`, if not null: the caller has found out that no session has the request tuple, and this
  /// one, if any, has the reply tuple; of one session alone.
  unsigned insert(const Session<F> sessions[], unsigned n, uint32_t numbers[],
                  const Hit* known = nullptr);

  void erase(const uint32_t numbers[], unsigned n);

  /// Puts up to `most` numbers of sessions with deadline <= now into `out` and returns how many;
  /// the caller accounts for them and erases them before the next call. Looks at a bounded number
  /// of timers (kTimersPerCall), so late sessions may be reported by a later call; `behind()` says
  /// so.
  unsigned expire(Nanoseconds now, uint32_t out[], unsigned most);
  bool behind() const;
  static constexpr unsigned kTimersPerCall = 256;

  /// Walks all sessions: puts up to `most` numbers from `cursor` on into `out`, moves `cursor`;
  /// returns 0 at the end. Sessions that live through the whole walk are reported exactly once.
  unsigned dump(uint32_t& cursor, uint32_t out[], unsigned most) const;

  /// Takes a session without a reply tuple out of the index: it runs out unfound, and another may
  /// have its tuple.
  void hide(uint32_t number);

  /// Room for `session` until the end of a burst, `place` < kBurst, and its number: at() knows it,
  /// no index and no timer does (one-packet scheduling).
  uint32_t lend(unsigned place, const Session<F>& session) {
    x_sessions[x_capacity + place] = session;
    return x_capacity + place;
  }

  bool is_lent(uint32_t number) const { return number >= x_capacity; }

  /// A deadline was moved EARLIER than it was: files the session anew (a later one needs nothing).
  void hasten(uint32_t number);

  Session<F>& at(uint32_t number) { return x_sessions[number]; }
  const Session<F>& at(uint32_t number) const { return x_sessions[number]; }
  /// Begins to bring a session into the cache, to be written.
  void prefetch(uint32_t number) const {
    const auto* line = reinterpret_cast<const char*>(&x_sessions[number]);
    for (size_t at = 0; at < sizeof(Session<F>); at += 64) __builtin_prefetch(line + at, 1);
  }
  /// Begins to bring in what a packet needs of it: without NAT, the first line alone (session.h).
  void prefetch_found(uint32_t number) const {
    if constexpr (sizeof(Session<F>) != 64)
      if (!x_index.has_replies()) return __builtin_prefetch(&x_sessions[number], 1);
    prefetch(number);
  }
  /// Begins to bring in what insert() will write first.
  void prefetch_free() const {
    if (x_size != x_capacity) prefetch(x_first_free);
  }
  /// Begins to bring in what erase() will look at of the index.
  void prefetch_found_by(uint32_t number) const {
    if (!(x_sessions[number].flags & Session<F>::kHidden)) x_index.prefetch_session(number);
  }
  bool is_used(uint32_t number) const { return x_used[number / 64] >> number % 64 & 1; }
  uint32_t size() const { return x_size; }
  uint32_t capacity() const { return x_capacity; }

 private:
  SessionTable(Session<F>* sessions, TimerLinks* links, const Keys& keys, uint32_t capacity)
      : x_index(keys, capacity), x_sessions(sessions), x_links(links), x_wheel(sessions, links) {}

  Nanoseconds deadline_of(uint64_t word) const;
  void look_at_word(uint32_t number);
  void take_plan(uint32_t number);
  void set_used(uint32_t number) { x_used[number / 64] |= uint64_t{1} << number % 64; }
  void clear_used(uint32_t number) { x_used[number / 64] &= ~(uint64_t{1} << number % 64); }

  TupleIndex<F> x_index;
  Session<F>* x_sessions;  ///< x_capacity of them, and kBurst to lend
  TimerLinks* x_links;     ///< of each session
  uint32_t x_size = 0;
  uint32_t x_capacity = 0;
  /// Free numbers are a queue through their links: a number rests as long as possible before it
  /// names another session.
  uint32_t x_first_free = 0, x_last_free = 0;
  uint64_t* x_used = nullptr;  ///< a bit per number, so that a walk touches only living sessions
  typename TupleIndex<F>::Cell* x_cells = nullptr;
  TimingWheel<Session<F>> x_wheel;
  FlowPlans x_plans;
  FlowConditions x_conditions;
  uint64_t x_changes = 0;
  Nanoseconds x_now = 0, x_in_time = 0;  ///< and when the wheel was last not behind
  uint64_t x_tick = 0;                   ///< of FlowWord::kTick nanoseconds
};

}  // namespace shunt::dataplane
