#include "dataplane/session_table.h"

#include <rte_malloc.h>

#include <algorithm>
#include <bit>
#include <string>

#include "share/bounds.h"

namespace shunt::dataplane {

namespace {

static_assert(SessionTable<net::V4>::kMostSessions == share::kMaxSessionsOfWorker);

uint64_t words(uint32_t capacity) {
  return (uint64_t{capacity} + 63) / 64;
}

// A NAT session may have to be indexed by two tuples.
template <class F>
uint64_t cells(uint32_t capacity) {
  return TupleIndex<F>::cells_for(uint64_t{capacity} * 2);
}

/// So long after all timers that came round were looked at, the age of a swift flow could be
/// mistaken soon. Every session is looked at once in the wheel's span, and is over after the
/// longest lifetime that a plan may have.
constexpr Nanoseconds kLeap = 1'000'000'000'000;
constexpr uint32_t kLongestLife = 500'000;
static_assert(kLongestLife * FlowWord::kTick + kLeap +
                  TimingWheel<int>::kSlots * TimingWheel<int>::kSlotWidth * 2 <
              FlowWord::kTicks * FlowWord::kTick);

/// Bytes in front of the sessions: those of two lines, of which most packets need the first, have
/// it at odd lines of memory, where prefetches work (prefetch.h).
template <class F>
constexpr size_t kOffset = sizeof(Session<F>) - RTE_CACHE_LINE_SIZE;

template <class T>
T* take_zeroed(const char* what, uint64_t count, int socket) {
  return static_cast<T*>(rte_zmalloc_socket(what, count * sizeof(T), RTE_CACHE_LINE_SIZE, socket));
}
template <class F>
Session<F>* take_sessions(uint64_t count, int socket) {
  void* memory = rte_zmalloc_socket("shunt sessions", kOffset<F> + count * sizeof(Session<F>),
                                    sizeof(Session<F>), socket);
  return memory ? reinterpret_cast<Session<F>*>(static_cast<char*>(memory) + kOffset<F>) : nullptr;
}
template <class F>
void give_back(Session<F>* sessions) {
  if (sessions) rte_free(reinterpret_cast<char*>(sessions) - kOffset<F>);
}

}  // namespace

template <class F>
uint64_t SessionTable<F>::bytes_wanted(uint32_t capacity) {
  return (capacity + uint64_t{kBurst}) * sizeof(Session<F>) + words(capacity) * 8 +
         capacity * sizeof(TimerLinks) + cells<F>(capacity) * sizeof(typename TupleIndex<F>::Cell) +
         (uint64_t{1} << 16);
}

template <class F>
Result<std::unique_ptr<SessionTable<F>>> SessionTable<F>::create(const char* name,
                                                                 uint32_t capacity,
                                                                 const Keys& keys, int socket) {
  if (capacity == 0 || capacity > kMostSessions)
    return Error{std::string("session table ") + name + ": " + std::to_string(capacity) +
                 " sessions is out of range; give 1 to " + std::to_string(kMostSessions)};
  auto* sessions = take_sessions<F>(capacity + uint64_t{kBurst}, socket);
  auto* links = take_zeroed<TimerLinks>("shunt session timers", capacity, socket);
  std::unique_ptr<SessionTable> table(new SessionTable(sessions, links, keys, capacity));
  table->x_capacity = capacity;
  table->x_used = take_zeroed<uint64_t>("shunt sessions used", words(capacity), socket);
  table->x_cells =
      take_zeroed<typename TupleIndex<F>::Cell>("shunt session index", cells<F>(capacity), socket);
  if (!sessions || !links || !table->x_used || !table->x_cells)
    return Error{std::string("session table ") + name + ": no " +
                 std::to_string((bytes_wanted(capacity) >> 20) + 1) + " MiB for " +
                 std::to_string(capacity) + " sessions on NUMA node " + std::to_string(socket) +
                 "; reserve more memory or give fewer sessions"};
  table->x_index.use(table->x_cells, cells<F>(capacity), sessions);
  for (uint32_t i = 0; i < capacity; i++) links[i].next = i + 1;
  table->x_last_free = capacity - 1;
  return table;
}

template <class F>
SessionTable<F>::~SessionTable() {
  rte_free(x_cells);
  rte_free(x_used);
  rte_free(x_links);
  give_back<F>(x_sessions);
}

template <class F>
unsigned SessionTable<F>::insert(const Session<F> sessions[], unsigned n, uint32_t numbers[],
                                 const Hit* known) {
  unsigned inserted = 0;
  for (unsigned i = 0; i < n; i++) {
    numbers[i] = kNoSession;
    if (x_size == x_capacity) continue;
    uint32_t number = x_first_free;
    const Session<F>& wanted = sessions[i];
    constexpr uint16_t kOurs = Session<F>::kHasReply | Session<F>::kBehind | Session<F>::kInFront;
    const bool has_reply = wanted.flags & kOurs;
    // Whose answers it gets is found by other keys from now on.
    const Hit older = !has_reply ? Hit{} : known ? *known : x_index.find(wanted.reply_tuple());
    if (older) slow_down(older.session);
    Session<F>& session = x_sessions[number];
    session = wanted;
    session.flags = static_cast<uint16_t>(wanted.flags & ~kOurs);
    session.found = wanted.found & Session<F>::kChosen;
    if (!x_index.add(number, has_reply, older, known != nullptr)) {
      session.flags = 0;
      continue;
    }
    x_first_free = x_links[number].next;
    session.flags |= Session<F>::kInUse;
    x_wheel.file(number);
    set_used(number);
    x_size++;
    numbers[i] = number;
    inserted++;
  }
  return inserted;
}

template <class F>
void SessionTable<F>::erase(const uint32_t numbers[], unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    Session<F>& session = x_sessions[numbers[i]];
    if (!(session.flags & Session<F>::kInUse)) continue;
    slow_down(numbers[i]);
    if (!(session.flags & Session<F>::kHidden)) x_index.remove(numbers[i]);
    x_wheel.remove(numbers[i]);
    clear_used(numbers[i]);
    session.flags = 0;
    // A full table has no queue to append to.
    (x_size == x_capacity ? x_first_free : x_links[x_last_free].next) = numbers[i];
    x_last_free = numbers[i];
    x_size--;
  }
}

template <class F>
void SessionTable<F>::hide(uint32_t number) {
  Session<F>& session = x_sessions[number];
  if (session.flags & Session<F>::kHidden) return;
  slow_down(number);
  x_index.remove(number);
  session.flags |= Session<F>::kHidden;
}

template <class F>
unsigned SessionTable<F>::expire(Nanoseconds now, uint32_t out[], unsigned most) {
  unsigned found =
      x_wheel.expire(now, out, most, kTimersPerCall, [this](uint32_t number) { look(number); });
  if (!x_wheel.behind()) x_in_time = x_now;
  return found;
}

template <class F>
bool SessionTable<F>::behind() const {
  return x_wheel.behind();
}

template <class F>
unsigned SessionTable<F>::dump(uint32_t& cursor, uint32_t out[], unsigned most) const {
  unsigned found = 0;
  while (cursor < x_capacity && found < most) {
    uint64_t rest = x_used[cursor / 64] >> cursor % 64;
    if (rest == 0) {
      cursor = (cursor / 64 + 1) * 64;
      continue;
    }
    cursor += static_cast<uint32_t>(std::countr_zero(rest));
    out[found++] = cursor++;
  }
  return found;
}

template <class F>
void SessionTable<F>::hasten(uint32_t number) {
  x_wheel.remove(number);
  x_wheel.file(number);
}

// Swift flows -------------------------------------------------------------------------------------

template <class F>
void SessionTable<F>::begin_turn(Nanoseconds now, const FlowConditions& conditions,
                                 uint64_t changes) {
  if (conditions != x_conditions || now < x_now || now - x_in_time > kLeap) {
    x_plans.begin_epoch(x_tick);
    x_conditions = conditions;
    x_in_time = now;
  }
  if (changes != x_changes) {
    x_plans.doubt();
    x_changes = changes;
  }
  x_now = now;
  x_tick = now / FlowWord::kTick;
}

template <class F>
Nanoseconds SessionTable<F>::deadline_of(uint64_t word) const {
  const uint16_t number = FlowWord::plan(word);
  const uint64_t until =
      x_plans.basis(number).epoch == x_plans.epoch() ? x_tick : x_plans.ended_at(number);
  const uint32_t lifetime = x_plans.at(number).ways[0].lifetime;
  return (until - FlowWord::age(word, until) + lifetime) * FlowWord::kTick;
}

template <class F>
void SessionTable<F>::look_at_word(uint32_t number) {
  if constexpr (F::family == Family::kV4) {
    const uint64_t word = x_index.word_of(number);
    x_sessions[number].deadline = deadline_of(word);
    // So that no word is older than it can tell, and no plan kept by flows that are idle.
    if (x_plans.basis(FlowWord::plan(word)).epoch != x_plans.epoch()) take_plan(number);
  }
}

template <class F>
void SessionTable<F>::take_plan(uint32_t number) {
  if constexpr (F::family == Family::kV4) {
    uint64_t& word = x_index.word_of(number);
    Session<F>& session = x_sessions[number];
    session.deadline = deadline_of(word);
    session.found &= static_cast<uint8_t>(~Session<F>::kSwift);
    x_plans.give(FlowWord::plan(word));
    word = FlowWord::of(number, 0, 0);
  }
}

template <class F>
void SessionTable<F>::speed_up(uint32_t number, const FlowPlan& plan, const FlowBasis& basis) {
  if constexpr (F::family == Family::kV4) {
    if (plan.ways[0].lifetime > kLongestLife) return;
    const uint16_t taken = x_plans.take(plan, basis);
    if (taken == 0) return;
    x_sessions[number].found |= Session<F>::kSwift;
    x_index.word_of(number) = FlowWord::of(number, taken, x_tick);
  }
}

template class SessionTable<net::V4>;
template class SessionTable<net::V6>;

}  // namespace shunt::dataplane
