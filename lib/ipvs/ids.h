// Interned ids: a small dense number for each key, that stays the key's until it is recycled.
//
// Invariant: an id belongs to one key at a time. release() only marks a key as gone; its id is
// reserved until recycle() hears that nobody counts on it any more. Caller: Configuration.
#pragma once

#include <cstdint>
#include <functional>
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
      x_slots[known->second].held = true;
      x_released.erase(known->second);
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
    return id;
  }

  void release(uint32_t id) {
    x_slots[id].held = false;
    x_released.insert(id);
  }

  /// Frees the ids of released keys for which `idle` holds.
  void recycle(const std::function<bool(uint32_t id)>& idle) {
    for (auto it = x_released.begin(); it != x_released.end();) {
      uint32_t id = *it;
      if (!idle(id)) {
        ++it;
        continue;
      }
      x_ids.erase(*x_slots[id].key);
      x_slots[id].key.reset();
      x_free.insert(id);
      it = x_released.erase(it);
    }
  }

  /// Every key that is gone while its id is reserved.
  template <class Visit>
  void each_released(Visit visit) const {
    for (uint32_t id : x_released) visit(*x_slots[id].key);
  }

  bool is_held(uint32_t id) const { return id < x_slots.size() && x_slots[id].held; }
  /// The key of an id, released ones included; null if it has none.
  const Key* key(uint32_t id) const {
    return id < x_slots.size() && x_slots[id].key ? &*x_slots[id].key : nullptr;
  }
  /// The first key not less than `key`, released ones included; null if there is none.
  const Key* first_from(const Key& key) const {
    auto it = x_ids.lower_bound(key);
    return it == x_ids.end() ? nullptr : &it->first;
  }

 private:
  struct Slot {
    bool held = false;
    std::optional<Key> key;
  };
  uint32_t x_limit;
  std::map<Key, uint32_t> x_ids;
  std::vector<Slot> x_slots;
  std::set<uint32_t> x_released;
  std::set<uint32_t> x_free;
};

}  // namespace shunt::ipvs
