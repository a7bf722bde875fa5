// Published<T>: one writer, many readers. The writer replaces a whole immutable value; a reader
// sees the old one or the new one, never a mixture, and never waits.
//
// Readers are workers registered with Quiescence (rte_rcu_qsbr). A worker reports a quiescent state
// once a turn, when it holds no pointer into anything published, and is offline while it sleeps.
// The writer never waits either: what was replaced goes to the retire list, which is bounded; when
// it is full, `can_publish` is false and the writer goes on editing and publishes later, so a
// worker that is stuck stops nobody.
#pragma once

#include <rte_rcu_qsbr.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <utility>

#include "share/changes.h"

namespace shunt::share {

/// Who reads, and what waits to be freed until all of them have moved on.
class Quiescence {
 public:
  /// Most values that wait at any time.
  static constexpr size_t kMostRetired = 64;
  static constexpr auto kCollectTime = std::chrono::milliseconds(1);

  explicit Quiescence(unsigned readers) {
    size_t size = rte_rcu_qsbr_get_memsize(readers);
    x_state.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
    if (!x_state) throw std::bad_alloc();
    rte_rcu_qsbr_init(x_state.get(), readers);
  }

  // Readers (each with its own number):
  void enter(unsigned reader) {
    rte_rcu_qsbr_thread_register(x_state.get(), reader);
    rte_rcu_qsbr_thread_online(x_state.get(), reader);
  }
  void leave(unsigned reader) {
    rte_rcu_qsbr_thread_offline(x_state.get(), reader);
    rte_rcu_qsbr_thread_unregister(x_state.get(), reader);
  }
  void online(unsigned reader) { rte_rcu_qsbr_thread_online(x_state.get(), reader); }
  void offline(unsigned reader) { rte_rcu_qsbr_thread_offline(x_state.get(), reader); }
  void quiescent(unsigned reader) { rte_rcu_qsbr_quiescent(x_state.get(), reader); }

  // The writer (one thread):
  bool can_publish() {
    collect();
    return x_retired.size() < kMostRetired;
  }
  /// Frees a part of a value that nobody uses any more; false: nothing is left.
  using Shed = bool (*)(void* value);
  /// Keeps `value` alive until every reader has passed a quiescent state. With `shed` it is then
  /// freed part by part.
  void retire(std::shared_ptr<const void> value, Shed shed = nullptr) {
    x_retired.push_back({rte_rcu_qsbr_start(x_state.get()), std::move(value), shed});
  }
  /// Frees what no reader can hold any more, as far as that takes kCollectTime.
  void collect() {
    if (x_retired.empty()) return;
    const auto end = std::chrono::steady_clock::now() + kCollectTime;
    while (!x_retired.empty() &&
           rte_rcu_qsbr_check(x_state.get(), x_retired.front().mark, false) == 1) {
      const Retired& oldest = x_retired.front();
      // What somebody else keeps is freed by whoever gives it up last.
      if (oldest.shed && oldest.value.use_count() == 1)
        while (oldest.shed(const_cast<void*>(oldest.value.get())))
          if (std::chrono::steady_clock::now() >= end) return;
      x_retired.pop_front();
    }
  }
  /// Marks now; passed(mark) tells whether a grace period has gone by since.
  uint64_t mark() { return rte_rcu_qsbr_start(x_state.get()); }
  bool passed(uint64_t mark) { return rte_rcu_qsbr_check(x_state.get(), mark, false) == 1; }
  size_t retired() const { return x_retired.size(); }

 private:
  struct Retired {
    uint64_t mark;
    std::shared_ptr<const void> value;
    Shed shed;
  };
  struct Free {
    void operator()(rte_rcu_qsbr* p) const { std::free(p); }
  };
  std::unique_ptr<rte_rcu_qsbr, Free> x_state;
  std::deque<Retired> x_retired;  // writer: control
};

template <class T>
class Published {
 public:
  /// Readers: valid until the reader's next quiescent state.
  const T* read() const { return x_current.load(std::memory_order_acquire); }
  /// Of what is read. Whoever keeps conclusions about a value looks here first and reads then: as
  /// long as the number stays the same, the value is not freed. (Its address alone does not tell:
  /// another value may have come to it.)
  const Changes& changes() const { return x_changes; }

  /// The writer. Only when Quiescence::can_publish().
  void publish(std::shared_ptr<const T> next, Quiescence& quiescence) {
    x_current.store(next.get(), std::memory_order_release);
    x_changes.add();
    std::swap(x_owner, next);
    if (next) quiescence.retire(std::move(next), shed());
  }

 private:
  /// Values that can be freed part by part are; no such value may have been made as a const one.
  static constexpr Quiescence::Shed shed() {
    if constexpr (requires(T & value) { value.shed_next(); })
      return [](void* value) { return static_cast<T*>(value)->shed_next(); };
    else
      return nullptr;
  }

  std::atomic<const T*> x_current{nullptr};  // writer: control
  Changes x_changes;
  std::shared_ptr<const T> x_owner;  // writer: control
};

}  // namespace shunt::share
