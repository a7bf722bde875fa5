// The timers of a session table: a wheel of slots, each a circular list threaded through an array
// of links beside the sessions, so that filing and removing are O(1), allocate nothing, touch no
// other session, and emptying a slot is one splice.
//
// Invariant: a filed session hangs in the slot of a tick that is not later than the first tick at
// or after its deadline, or in the list of those whose slot came round (kDue). Packets move only
// the deadline; a session found too early is filed again. Called by SessionTable alone.
//
// A slot comes round when its whole tick has begun, and deadlines are rounded up to a tick: nothing
// fires early, and what is due fires at most one slot width late. All slots that came round since
// the last call are spliced to the end of one queue, at most once each however far time jumped, and
// the queue is worked off a bounded number at a time: nothing can starve.
#pragma once

#include <algorithm>
#include <cstdint>

namespace shunt::dataplane {

/// Neighbours in a list. They belong to the wheel while the node of their number is filed.
struct TimerLinks {
  uint32_t next, previous;
};

/// `Node` has `deadline` (nanoseconds).
template <class Node>
class TimingWheel {
 public:
  static constexpr uint64_t kSlotWidth = 125'000'000;  ///< nanoseconds
  static constexpr uint32_t kSlots = 4096;             ///< the wheel spans 512 seconds

  /// The nodes' numbers are below 2^31; each has its links.
  TimingWheel(Node* nodes, TimerLinks* links) : x_nodes(nodes), x_links(links) {
    for (uint32_t list = 0; list <= kSlots; list++)
      x_lists[list] = {list | kListBit, list | kListBit};
  }
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;

  /// Files node `n`, which must not be filed, by its deadline.
  void file(uint32_t n) {
    uint64_t deadline = x_nodes[n].deadline;
    uint64_t tick = deadline / kSlotWidth + (deadline % kSlotWidth != 0);
    link(n, std::clamp(tick, x_tick, x_tick + kSlots - 1) % kSlots);
  }

  void remove(uint32_t n) {
    uint32_t next = x_links[n].next, previous = x_links[n].previous;
    next_of(previous) = next;
    previous_of(next) = previous;
  }

  /// Looks at up to `looks` nodes that came round and puts those with deadline <= now into `out`,
  /// at most `most`. They stay filed: who does not remove them is told again. `look` is called with
  /// each before its deadline is read.
  template <class Look>
  unsigned expire(uint64_t now, uint32_t out[], unsigned most, unsigned looks, Look look) {
    uint64_t last = now / kSlotWidth;
    for (uint32_t i = 0; i < kSlots && x_tick + i <= last; i++) splice((x_tick + i) % kSlots);
    x_tick = std::max(x_tick, last + 1);
    // Links lie close together, nodes do not: those to be looked at soon are fetched ahead.
    constexpr unsigned kAhead = 8;
    uint32_t ahead = x_lists[kDue].next;
    auto fetch = [&] {
      if (ahead & kListBit) return;
      __builtin_prefetch(&x_nodes[ahead]);
      ahead = x_links[ahead].next;
    };
    for (unsigned i = 0; i < kAhead; i++) fetch();
    unsigned found = 0;
    for (; looks > 0 && found < most && behind(); looks--) {
      uint32_t n = x_lists[kDue].next;
      fetch();
      remove(n);
      look(n);
      if (x_nodes[n].deadline > now) {
        file(n);
        continue;
      }
      out[found++] = n;
      link(n, x_tick % kSlots);  // as file() would
    }
    return found;
  }

  /// Is there a node that came round and was not looked at?
  bool behind() const { return x_lists[kDue].next != (kDue | kListBit); }

 private:
  static constexpr uint32_t kDue = kSlots;
  static constexpr uint32_t kListBit = 1u << 31;  ///< the number is a list's, not a node's

  uint32_t& next_of(uint32_t n) {
    return n & kListBit ? x_lists[n & ~kListBit].next : x_links[n].next;
  }
  uint32_t& previous_of(uint32_t n) {
    return n & kListBit ? x_lists[n & ~kListBit].previous : x_links[n].previous;
  }

  void link(uint32_t n, uint32_t list) {
    uint32_t last = x_lists[list].previous;
    x_links[n].next = list | kListBit;
    x_links[n].previous = last;
    next_of(last) = n;
    x_lists[list].previous = n;
  }

  /// Moves all of a slot to the end of the due list.
  void splice(uint32_t slot) {
    TimerLinks moved = x_lists[slot];
    if (moved.next == (slot | kListBit)) return;
    x_lists[slot] = {slot | kListBit, slot | kListBit};
    uint32_t last = x_lists[kDue].previous;
    next_of(last) = moved.next;
    previous_of(moved.next) = last;
    next_of(moved.previous) = kDue | kListBit;
    x_lists[kDue].previous = moved.previous;
  }

  Node* x_nodes;
  TimerLinks* x_links;
  uint64_t x_tick = 0;  ///< the next tick to come round
  TimerLinks x_lists[kSlots + 1];
};

}  // namespace shunt::dataplane
