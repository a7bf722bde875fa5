#include "dataplane/session_table.h"

#include <rte_malloc.h>

#include <algorithm>
#include <bit>
#include <string>

namespace shunt::dataplane {

namespace {

uint64_t words(uint32_t capacity) {
  return (uint64_t{capacity} + 63) / 64;
}

// A NAT session is indexed by two tuples.
uint64_t buckets(uint32_t capacity) {
  return FlowIndex::buckets_for(uint64_t{capacity} * 2);
}

template <class T>
T* take_zeroed(const char* what, uint64_t count, int socket) {
  return static_cast<T*>(rte_zmalloc_socket(what, count * sizeof(T), RTE_CACHE_LINE_SIZE, socket));
}

}  // namespace

template <class F>
uint64_t SessionTable<F>::bytes_wanted(uint32_t capacity) {
  return (capacity + uint64_t{kBurst}) * sizeof(Session<F>) + words(capacity) * 8 +
         capacity * sizeof(TimerLinks) + buckets(capacity) * sizeof(FlowIndex::Bucket) +
         (uint64_t{1} << 16);
}

template <class F>
Result<std::unique_ptr<SessionTable<F>>> SessionTable<F>::create(const char* name,
                                                                 uint32_t capacity, uint32_t seed,
                                                                 int socket) {
  static_assert(uint64_t{kMostSessions} * 2 <= FlowIndex::kMostValues);
  if (capacity == 0 || capacity > kMostSessions)
    return Error{std::string("session table ") + name + ": " + std::to_string(capacity) +
                 " sessions is out of range; give 1 to " + std::to_string(kMostSessions)};
  auto* sessions = take_zeroed<Session<F>>("shunt sessions", capacity + uint64_t{kBurst}, socket);
  auto* links = take_zeroed<TimerLinks>("shunt session timers", capacity, socket);
  std::unique_ptr<SessionTable> table(new SessionTable(sessions, links, seed, capacity));
  table->x_capacity = capacity;
  table->x_used = take_zeroed<uint64_t>("shunt sessions used", words(capacity), socket);
  table->x_buckets =
      take_zeroed<FlowIndex::Bucket>("shunt session index", buckets(capacity), socket);
  if (!sessions || !links || !table->x_used || !table->x_buckets)
    return Error{std::string("session table ") + name + ": no " +
                 std::to_string((bytes_wanted(capacity) >> 20) + 1) + " MiB for " +
                 std::to_string(capacity) + " sessions on NUMA node " + std::to_string(socket) +
                 "; reserve more memory or give fewer sessions"};
  table->x_index.use(table->x_buckets, static_cast<uint32_t>(buckets(capacity)));
  for (uint32_t i = 0; i < capacity; i++) links[i].next = i + 1;
  table->x_last_free = capacity - 1;
  return table;
}

template <class F>
SessionTable<F>::~SessionTable() {
  rte_free(x_buckets);
  rte_free(x_used);
  rte_free(x_links);
  rte_free(x_sessions);
}

template <class F>
bool SessionTable<F>::has(uint32_t value, const net::Tuple<F>& key) const {
  const Session<F>& session = x_sessions[value >> 1];
  return value & 1 ? session.reply_tuple() == key : session.request == key;
}

template <class F>
Hit SessionTable<F>::find(const net::Tuple<F>& key, uint64_t hash) const {
  uint32_t value = x_index.find(hash, [&](uint32_t found) { return has(found, key); });
  return value == FlowIndex::kNone ? Hit{} : to_hit(value);
}

// Memory is slow and keys are many: all buckets are on their way before the first is looked at,
// and all sessions before the first is compared.
template <class F>
void SessionTable<F>::lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const {
  uint64_t hashes[kBurst];
  for (unsigned i = 0; i < n; i++) {
    hashes[i] = x_hash(*keys[i]);
    x_index.prefetch(hashes[i]);
  }
  for (unsigned i = 0; i < n; i++) {
    const FlowIndex::Bucket& bucket = x_index.home_of(hashes[i]);
    uint32_t places = FlowIndex::matches(bucket, hashes[i]);
    if (places != 0)
      prefetch(FlowIndex::value_at(bucket, static_cast<uint32_t>(std::countr_zero(places))) >> 1);
    else if (bucket.displaced != 0)
      __builtin_prefetch(&x_index.other_of(hashes[i]));
  }
  for (unsigned i = 0; i < n; i++) hits[i] = find(*keys[i], hashes[i]);
}

/// False if the key is there already, or there is no room in the index.
template <class F>
bool SessionTable<F>::add(const net::Tuple<F>& key, uint32_t value) {
  uint64_t hash = x_hash(key);
  return !find(key, hash) && x_index.insert(hash, value);
}

/// Another session that has the same reply tuple gets behind this one.
template <class F>
bool SessionTable<F>::add_reply(uint32_t number) {
  Session<F>& session = x_sessions[number];
  const net::Tuple<F> key = session.reply_tuple();
  const uint64_t hash = x_hash(key);
  const Hit older = find(key, hash);
  if (!older) {
    if (!x_index.insert(hash, number * 2 + 1)) return false;
  } else {
    if (!older.is_reply) return false;
    x_index.replace(hash, older.session * 2 + 1, number * 2 + 1);
    Session<F>& behind = x_sessions[older.session];
    behind.flags =
        static_cast<uint16_t>((behind.flags & ~Session<F>::kHasReply) | Session<F>::kBehind);
    x_rows[older.session].newer = number;
    x_rows[number].older = older.session;
    session.flags |= Session<F>::kInFront;
  }
  session.flags |= Session<F>::kHasReply;
  return true;
}

/// The next older one that has the same reply tuple comes to the front, or nearer to it.
template <class F>
void SessionTable<F>::remove_reply(uint32_t number) {
  const Session<F>& session = x_sessions[number];
  const bool is_behind = session.flags & Session<F>::kBehind;
  if (!(session.flags & Session<F>::kInFront)) {
    if (is_behind)
      x_sessions[x_rows[number].newer].flags &= static_cast<uint16_t>(~Session<F>::kInFront);
    else
      x_index.erase(x_hash(session.reply_tuple()), number * 2 + 1);
    return;
  }
  const uint32_t older = x_rows[number].older;
  if (is_behind) {
    x_rows[x_rows[number].newer].older = older;
    x_rows[older].newer = x_rows[number].newer;
    return;
  }
  x_index.replace(x_hash(session.reply_tuple()), number * 2 + 1, older * 2 + 1);
  Session<F>& next = x_sessions[older];
  next.flags = static_cast<uint16_t>((next.flags & ~Session<F>::kBehind) | Session<F>::kHasReply);
}

template <class F>
unsigned SessionTable<F>::insert(const Session<F> sessions[], unsigned n, uint32_t numbers[]) {
  unsigned inserted = 0;
  for (unsigned i = 0; i < n; i++) {
    numbers[i] = kNoSession;
    if (x_size == x_capacity) continue;
    uint32_t number = x_first_free;
    const Session<F>& wanted = sessions[i];
    constexpr uint16_t kOurs = Session<F>::kHasReply | Session<F>::kBehind | Session<F>::kInFront;
    // The second tuple must not be the first one either, so that the session has to be there.
    Session<F>& session = x_sessions[number];
    session = wanted;
    session.flags = 0;
    if (!add(wanted.request, number * 2)) continue;
    if (wanted.flags & kOurs && !add_reply(number)) {
      x_index.erase(x_hash(wanted.request), number * 2);
      continue;
    }
    x_first_free = x_links[number].next;
    session.flags |= static_cast<uint16_t>((wanted.flags & ~kOurs) | Session<F>::kInUse);
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
    uint32_t value = numbers[i] * 2;
    if (!(session.flags & Session<F>::kHidden)) x_index.erase(x_hash(session.request), value);
    if (session.flags & (Session<F>::kHasReply | Session<F>::kBehind)) remove_reply(numbers[i]);
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
  x_index.erase(x_hash(session.request), number * 2);
  session.flags |= Session<F>::kHidden;
}

template <class F>
unsigned SessionTable<F>::expire(Nanoseconds now, uint32_t out[], unsigned most) {
  return x_wheel.expire(now, out, most, kTimersPerCall);
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

template class SessionTable<net::V4>;
template class SessionTable<net::V6>;

}  // namespace shunt::dataplane
