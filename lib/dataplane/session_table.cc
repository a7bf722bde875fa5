#include "dataplane/session_table.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_malloc.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <string>

namespace shunt::dataplane {

namespace {

constexpr uint32_t kFewestEntries = 8;  // of an rte_hash: one bucket

// A NAT session is indexed by two tuples.
uint32_t index_entries(uint32_t capacity) {
  return std::max(capacity * 2, kFewestEntries);
}

uint64_t words(uint32_t capacity) {
  return (uint64_t{capacity} + 63) / 64;
}

Hit to_hit(void* data) {
  auto value = reinterpret_cast<uintptr_t>(data);
  return {static_cast<uint32_t>(value >> 1), (value & 1) != 0};
}

}  // namespace

template <class F>
uint64_t SessionTable<F>::bytes_wanted(uint32_t capacity) {
  uint64_t entries = index_entries(capacity);
  // rte_hash: per key its data and the key, to 16 bytes; a bucket of 64 bytes and an extension
  // bucket for every eight keys, a ring of free slots and one of free extensions, each rounded up
  // to a power of two.
  uint64_t key = (sizeof(void*) + sizeof(net::Tuple<F>) + 15) / 16 * 16;
  uint64_t index = entries * key + std::bit_ceil(entries + 2) * (64 / 8 * 2 + 4 + 1);
  return (capacity + uint64_t{kBurst}) * sizeof(Session<F>) + words(capacity) * 8 + index +
         (uint64_t{1} << 16);
}

template <class F>
Result<std::unique_ptr<SessionTable<F>>> SessionTable<F>::create(const char* name,
                                                                 uint32_t capacity, uint32_t seed,
                                                                 int socket) {
  if (capacity == 0 || capacity > kMostSessions)
    return Error{std::string("session table ") + name + ": " + std::to_string(capacity) +
                 " sessions is out of range; give 1 to " + std::to_string(kMostSessions)};
  Error no_memory{std::string("session table ") + name + ": no " +
                  std::to_string((bytes_wanted(capacity) >> 20) + 1) + " MiB for " +
                  std::to_string(capacity) + " sessions on NUMA node " + std::to_string(socket) +
                  "; reserve more memory or give fewer sessions"};

  auto* sessions = static_cast<Session<F>*>(
      rte_zmalloc_socket("shunt sessions", (capacity + uint64_t{kBurst}) * sizeof(Session<F>),
                         RTE_CACHE_LINE_SIZE, socket));
  if (sessions == nullptr) return no_memory;
  std::unique_ptr<SessionTable> table(new SessionTable(sessions));
  table->x_capacity = capacity;
  table->x_used = static_cast<uint64_t*>(
      rte_zmalloc_socket("shunt sessions used", words(capacity) * 8, RTE_CACHE_LINE_SIZE, socket));
  if (table->x_used == nullptr) return no_memory;

  // rte_hash cuts the names of its rings short, so that two long names could collide: ours are
  // short and unique by themselves.
  static std::atomic<unsigned> serial;
  std::string index_name =
      (F::family == Family::kV4 ? "sessions4." : "sessions6.") + std::to_string(serial++);
  rte_hash_parameters parameters{};
  parameters.name = index_name.c_str();
  parameters.entries = index_entries(capacity);
  parameters.key_len = sizeof(net::Tuple<F>);
  parameters.hash_func = rte_jhash;
  parameters.hash_func_init_val = seed;
  parameters.socket_id = socket;
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE;  // takes every entry it was made for
  table->x_index = rte_hash_create(&parameters);
  if (table->x_index == nullptr) {
    if (rte_errno == ENOMEM) return no_memory;
    return Error{std::string("session table ") + name + ": no index for " +
                 std::to_string(capacity) + " sessions: " + rte_strerror(rte_errno)};
  }

  for (uint32_t i = 0; i < capacity; i++) sessions[i].timer_next = i + 1;
  table->x_last_free = capacity - 1;
  return table;
}

template <class F>
SessionTable<F>::~SessionTable() {
  rte_hash_free(x_index);
  rte_free(x_used);
  rte_free(x_sessions);
}

template <class F>
void SessionTable<F>::lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const {
  uint64_t mask = 0;
  void* data[kBurst];
  if (n == 0) return;
  auto** raw = const_cast<const void**>(reinterpret_cast<const void* const*>(keys));
  rte_hash_lookup_bulk_data(x_index, raw, n, &mask, data);
  for (unsigned i = 0; i < n; i++) hits[i] = mask >> i & 1 ? to_hit(data[i]) : Hit{};
}

template <class F>
Hit SessionTable<F>::lookup(const net::Tuple<F>& key) const {
  void* data;
  return rte_hash_lookup_data(x_index, &key, &data) >= 0 ? to_hit(data) : Hit{};
}

/// False if the key is there already.
template <class F>
bool SessionTable<F>::add(const net::Tuple<F>& key, uint64_t value) {
  hash_sig_t hash = rte_hash_hash(x_index, &key);
  if (rte_hash_lookup_with_hash(x_index, &key, hash) >= 0) return false;
  return rte_hash_add_key_with_hash_data(x_index, &key, hash, reinterpret_cast<void*>(value)) == 0;
}

template <class F>
unsigned SessionTable<F>::insert(const Session<F> sessions[], unsigned n, uint32_t numbers[]) {
  unsigned inserted = 0;
  for (unsigned i = 0; i < n; i++) {
    numbers[i] = kNoSession;
    if (x_size == x_capacity) continue;
    uint32_t number = x_first_free;
    const Session<F>& wanted = sessions[i];
    uint64_t value = uint64_t{number} * 2;
    if (!add(wanted.request, value)) continue;
    if (wanted.flags & Session<F>::kHasReply && !add(wanted.reply, value | 1)) {
      rte_hash_del_key(x_index, &wanted.request);
      continue;
    }
    Session<F>& session = x_sessions[number];
    x_first_free = session.timer_next;
    session = wanted;
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
    if (!(session.flags & Session<F>::kHidden)) rte_hash_del_key(x_index, &session.request);
    if (session.flags & Session<F>::kHasReply) rte_hash_del_key(x_index, &session.reply);
    x_wheel.remove(numbers[i]);
    clear_used(numbers[i]);
    session.flags = 0;
    // A full table has no queue to append to.
    (x_size == x_capacity ? x_first_free : x_sessions[x_last_free].timer_next) = numbers[i];
    x_last_free = numbers[i];
    x_size--;
  }
}

template <class F>
void SessionTable<F>::hide(uint32_t number) {
  Session<F>& session = x_sessions[number];
  if (session.flags & Session<F>::kHidden) return;
  rte_hash_del_key(x_index, &session.request);
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
