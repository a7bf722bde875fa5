// A map from (protocol, address, port) of one family, for lookups by packets: open addressing in
// one flat array, filled once and read from then on.
//
// Invariant: the array is empty or a power of two in size and at most half full, so that every
// probe ends. Keys come from the administrator, lookups from anyone: every bit of a key is mixed,
// and no lookup can take longer than the longest run of keys. ServiceTable is made of these.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "net/family.h"

namespace shunt::ipvs {

template <class F, class Value>
class EndpointMap {
 public:
  using Address = typename F::Address;

  /// Empties it and makes room for that many keys; no more may be added.
  void reserve(size_t keys) {
    x_slots.clear();
    if (keys) x_slots.resize(std::bit_ceil(keys * 2));
  }

  /// The first value of a key stays. Ports in host order.
  void add(uint8_t protocol, const Address& address, uint16_t port, Value value) {
    const Key key = key_of(protocol, address, port);
    const size_t mask = x_slots.size() - 1;
    size_t i = hash(key) & mask;
    for (; used(x_slots[i]); i = (i + 1) & mask)
      if (x_slots[i].key == key) return;
    x_slots[i] = {key, value};
  }

  /// Null if there is none.
  const Value* find(uint8_t protocol, const Address& address, uint16_t port) const {
    if (x_slots.empty()) return nullptr;
    const Key key = key_of(protocol, address, port);
    const size_t mask = x_slots.size() - 1;
    for (size_t i = hash(key) & mask; used(x_slots[i]); i = (i + 1) & mask)
      if (x_slots[i].key == key) return &x_slots[i].value;
    return nullptr;
  }

 private:
  // IPv4: one word of address, port, protocol and a mark that is in every key. IPv6: the two words
  // of the address before it.
  using Key = std::array<uint64_t, sizeof(Address) == 4 ? 1 : 3>;
  struct Slot {
    Key key{};
    [[no_unique_address]] Value value{};
  };

  static bool used(const Slot& slot) { return slot.key.back() != 0; }

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

  std::vector<Slot> x_slots;
};

}  // namespace shunt::ipvs
