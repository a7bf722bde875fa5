// The sessions of one worker and one family: an index from tuples to sessions, and their timers.
//
// Owned by one worker, never locked. All memory is taken by create(); a full table refuses. The
// index (flow_index.h) knows hashes and numbers; whether a session has the tuple, the session says,
// which is touched anyway: no key is stored twice, and a lookup is exact.
//
// A session whose reply tuple is indexed too (kHasReply) is found by both. Two that go from one
// client endpoint to one server endpoint, for other virtual endpoints, have one reply tuple: it is
// the newest's, and when that ends the next one's, as in IPVS (ip_vs_conn_out_get). Timers: packets
// write only Session::deadline; the wheel files a session once and re-files it lazily when its slot
// comes round. A jump of time, however far, is one step: one look at every slot.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "dataplane/flow_hash.h"
#include "dataplane/flow_index.h"
#include "dataplane/session.h"
#include "dataplane/timing_wheel.h"
#include "dataplane/untouched.h"

namespace shunt::dataplane {

/// A found session: its number, and whether the key was its reply tuple.
struct Hit {
  uint32_t session = kNoSession;
  bool is_reply = false;
  explicit operator bool() const { return session != kNoSession; }
};

/// Whole cache lines, so that it shares none with another worker's.
template <class F>
class alignas(64) SessionTable {
 public:
  /// `capacity` sessions, 1..kMostSessions; `name` for messages; `seed` for the index's hash.
  /// Errors: not enough memory, with the number of MiB that were wanted.
  static Result<std::unique_ptr<SessionTable>> create(const char* name, uint32_t capacity,
                                                      uint32_t seed, int socket);
  /// What create() takes of DPDK's memory on that socket, estimated from above.
  static uint64_t bytes_wanted(uint32_t capacity);
  static constexpr uint32_t kMostSessions = 1u << 29;
  ~SessionTable();
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  static constexpr unsigned kBurst = 64;  ///< most keys of one call

  /// hits[i] for each of keys[0..n), n <= kBurst. Does not look at deadlines.
  void lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const;
  Hit lookup(const net::Tuple<F>& key) const { return find(key, x_hash(key)); }

  /// For those who look up by themselves, a step at a time: a value of the index is a hit if the
  /// session has the tuple.
  const FlowHash& hash() const { return x_hash; }
  const FlowIndex& index() const { return x_index; }
  static Hit to_hit(uint32_t value) { return {value >> 1, (value & 1) != 0}; }

  /// Copies n sessions in. numbers[i] is the new number, or kNoSession where the table is full or
  /// one of its tuples is already there, other than as another's reply tuple both times (then
  /// nothing of that session is indexed). Files the timer by `deadline`. Returns how many went in.
  unsigned insert(const Session<F> sessions[], unsigned n, uint32_t numbers[]);

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
  /// Begins to bring in what insert() will write first.
  void prefetch_free() const {
    if (x_size != x_capacity) prefetch(x_first_free);
  }
  bool is_used(uint32_t number) const { return x_used[number / 64] >> number % 64 & 1; }
  uint32_t size() const { return x_size; }
  uint32_t capacity() const { return x_capacity; }

 private:
  /// Of sessions with one reply tuple: the next newer and the next older one.
  struct Row {
    uint32_t newer, older;
  };

  SessionTable(Session<F>* sessions, TimerLinks* links, uint32_t seed, uint32_t capacity)
      : x_hash(seed),
        x_sessions(sessions),
        x_links(links),
        x_rows(capacity),
        x_wheel(sessions, links) {}

  bool has(uint32_t value, const net::Tuple<F>& key) const;
  Hit find(const net::Tuple<F>& key, uint64_t hash) const;
  bool add(const net::Tuple<F>& key, uint32_t value);
  bool add_reply(uint32_t number);
  void remove_reply(uint32_t number);
  void set_used(uint32_t number) { x_used[number / 64] |= uint64_t{1} << number % 64; }
  void clear_used(uint32_t number) { x_used[number / 64] &= ~(uint64_t{1} << number % 64); }

  FlowHash x_hash;
  FlowIndex x_index;       ///< tuple → number * 2 + is_reply
  Session<F>* x_sessions;  ///< x_capacity of them, and kBurst to lend
  TimerLinks* x_links;     ///< of each session
  Untouched<Row> x_rows;   ///< of each that is kInFront or kBehind
  uint32_t x_size = 0;
  uint32_t x_capacity = 0;
  /// Free numbers are a queue through their links: a number rests as long as possible before it
  /// names another session.
  uint32_t x_first_free = 0, x_last_free = 0;
  uint64_t* x_used = nullptr;  ///< a bit per number, so that a walk touches only living sessions
  FlowIndex::Bucket* x_buckets = nullptr;
  TimingWheel<Session<F>> x_wheel;
};

}  // namespace shunt::dataplane
