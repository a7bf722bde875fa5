// Interned ids: a small dense number for each key, that stays the key's until it is recycled.
//
// Invariant: an id belongs to one key at a time. release() only marks a key as gone; its id is
// reserved until recycle() hears that nobody counts on it any more. What was interned and released
// since begin() can be undone. Caller: Configuration.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace shunt::ipvs {

template <class Key>
class Ids {
 public:
  explicit Ids(uint32_t limit) : x_limit(limit) {}

  /// The key's id, new or the one it had; none if `limit` ids are taken.
  std::optional<uint32_t> intern(const Key& key) {
    auto known = x_ids.find(key);
    if (known != x_ids.end()) {
      hold(known->second);
      note(known->second, Change::kHeld);
      return known->second;
    }
    uint32_t id = static_cast<uint32_t>(x_slots.size());
    if (!x_free.empty()) {
      id = *x_free.begin();
      x_free.erase(x_free.begin());
    } else if (id == x_limit) {
      return std::nullopt;
    } else {
      x_slots.emplace_back();
    }
    x_slots[id] = {true, key};
    x_ids.emplace(key, id);
    note(id, Change::kMade);
    return id;
  }

  void release(uint32_t id) {
    drop(id);
    note(id, Change::kReleased);
  }

  /// From here on what is interned and released can be undone, until commit() or undo().
  void begin() { x_noting = true; }
  void commit() {
    x_noting = false;
    x_changes.clear();
  }
  void undo() {
    while (undo_next()) {
    }
  }
  /// Undoes one change, the latest; false: there is none, which ends it.
  bool undo_next() {
    if (x_changes.empty()) return commit(), false;
    auto [id, kind] = x_changes.back();
    x_changes.pop_back();
    if (kind == Change::kReleased) {
      hold(id);
    } else {
      drop(id);
      if (kind == Change::kMade) x_released.erase(forget(id));
    }
    return true;
  }

  /// Where recycle_next() is in its round through the released keys.
  struct Round {
    uint32_t next = 0;  ///< the least id that it looks at now
    size_t left = 0;    ///< keys that it has not looked at
  };
  void begin_round(Round& round) const { round.left = x_released.size(); }
  /// Frees the round's next id if `idle` holds; false: the round is over.
  template <class Idle>
  bool recycle_next(Round& round, Idle idle) {
    if (round.left == 0 || x_released.empty()) return false;
    auto at = x_released.lower_bound(round.next);
    if (at == x_released.end()) at = x_released.begin();
    round.left--;
    const uint32_t id = *at;
    round.next = id + 1;
    if (!idle(id)) return true;
    forget(id);
    x_released.erase(at);
    return true;
  }

  bool is_held(uint32_t id) const { return id < x_slots.size() && x_slots[id].held; }
  /// The key of an id, released ones included; null if it has none.
  const Key* key(uint32_t id) const {
    return id < x_slots.size() && x_slots[id].key ? &*x_slots[id].key : nullptr;
  }
  /// visit(key, held) of each key from the first one not less than `key` on, released ones
  /// included, while it returns true.
  template <class Visit>
  void each_from(const Key& key, Visit visit) const {
    for (auto it = x_ids.lower_bound(key); it != x_ids.end(); ++it)
      if (!visit(it->first, x_slots[it->second].held)) return;
  }

 private:
  struct Slot {
    bool held = false;
    std::optional<Key> key;
  };
  struct Change {
    uint32_t id;
    enum Kind { kMade, kHeld, kReleased } kind;
  };

  void hold(uint32_t id) {
    x_slots[id].held = true;
    x_released.erase(id);
  }
  void drop(uint32_t id) {
    x_slots[id].held = false;
    x_released.insert(id);
  }
  uint32_t forget(uint32_t id) {
    x_ids.erase(*x_slots[id].key);
    x_slots[id].key.reset();
    x_free.insert(id);
    return id;
  }
  void note(uint32_t id, typename Change::Kind kind) {
    if (x_noting) x_changes.push_back({id, kind});
  }

  uint32_t x_limit;
  std::map<Key, uint32_t> x_ids;
  std::vector<Slot> x_slots;
  std::set<uint32_t> x_released;
  std::set<uint32_t> x_free;
  bool x_noting = false;
  std::vector<Change> x_changes;  ///< since begin()
};

}  // namespace shunt::ipvs
