// A map from (protocol, address, port) of one family, for lookups by packets: open addressing in
// one flat array.
//
// Invariant: the array is empty or a power of two in size and at most half full, so that every
// probe ends. Keys come from the administrator, lookups from anyone: every bit of a key is mixed,
// and no lookup can take longer than the longest run of keys. EndpointShards are made of these.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "net/family.h"

namespace shunt::ipvs {

template <class F, class Value>
class EndpointMap {
 public:
  using Address = typename F::Address;
  // IPv4: one word of address, port, protocol and a mark that is in every key. IPv6: the two words
  // of the address before it.
  using Key = std::array<uint64_t, sizeof(Address) == 4 ? 1 : 3>;

  /// Port in host order.
  static Key key_of(uint8_t protocol, const Address& address, uint16_t port) {
    Key key;
    uint32_t first = 0;
    if constexpr (sizeof(Address) == 4)
      std::memcpy(&first, address.bytes.data(), 4);
    else
      std::memcpy(key.data(), address.bytes.data(), 16);
    key.back() = uint64_t{first} << 32 | uint64_t{port} << 16 | uint64_t{protocol} << 8 | 1;
    return key;
  }

  /// MurmurHash3's 64-bit finalizer (Austin Appleby, public domain), a bijection, over each word.
  /// The array goes by its low bits.
  static uint64_t hash(const Key& key) {
    uint64_t x = 0;
    for (uint64_t word : key) {
      x += word;
      x = (x ^ x >> 33) * 0xff51afd7ed558ccd;
      x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53;
      x ^= x >> 33;
    }
    return x;
  }

  size_t size() const { return x_size; }

  /// Null if there is none. `hash` is the key's.
  const Value* find(const Key& key, uint64_t hash) const {
    const size_t i = slot_of(key, hash);
    return i == kNone ? nullptr : &x_slots[i].value;
  }

  /// The key's value, made if there is none; until the next change.
  Value& at(const Key& key) {
    size_t i = slot_of(key, hash(key));
    if (i != kNone) return x_slots[i].value;
    if (x_slots.size() < 2 * (x_size + 1)) resize(2 * (x_size + 1));
    x_size++;
    i = free_slot(key);
    x_slots[i].key = key;
    return x_slots[i].value;
  }

  void erase(const Key& key) {
    size_t gap = slot_of(key, hash(key));
    if (gap == kNone) return;
    const size_t mask = x_slots.size() - 1;
    // Whatever a probe would look for beyond the gap moves into it.
    for (size_t i = (gap + 1) & mask; used(x_slots[i]); i = (i + 1) & mask) {
      const size_t home = hash(x_slots[i].key) & mask;
      if (((i - home) & mask) < ((i - gap) & mask)) continue;
      x_slots[gap] = std::move(x_slots[i]);
      gap = i;
    }
    x_slots[gap] = {};
    x_size--;
    if (x_slots.size() > 8 * x_size) resize(2 * x_size);
  }

  /// visit(key, value) of each.
  template <class Visit>
  void each(Visit visit) const {
    for (const Slot& slot : x_slots)
      if (used(slot)) visit(slot.key, slot.value);
  }

 private:
  struct Slot {
    Key key{};
    Value value{};
  };

  static constexpr size_t kNone = SIZE_MAX;

  static bool used(const Slot& slot) { return slot.key.back() != 0; }

  size_t slot_of(const Key& key, uint64_t hash) const {
    if (x_slots.empty()) return kNone;
    const size_t mask = x_slots.size() - 1;
    for (size_t i = hash & mask; used(x_slots[i]); i = (i + 1) & mask)
      if (x_slots[i].key == key) return i;
    return kNone;
  }

  size_t free_slot(const Key& key) const {
    const size_t mask = x_slots.size() - 1;
    size_t i = hash(key) & mask;
    while (used(x_slots[i])) i = (i + 1) & mask;
    return i;
  }

  /// To `least` slots, rounded up.
  void resize(size_t least) {
    std::vector<Slot> before(least ? std::bit_ceil(least) : 0);
    before.swap(x_slots);
    for (Slot& slot : before)
      if (used(slot)) x_slots[free_slot(slot.key)] = std::move(slot);
  }

  std::vector<Slot> x_slots;
  size_t x_size = 0;
};

}  // namespace shunt::ipvs
