// An EndpointMap in shards that copies share: a copy costs kShards pointers, and a change to it one
// shard, however large the map is.
//
// Invariant: a shard is changed only while this map alone has it, so what was copied from, and is
// read by workers, never changes. Null shards are empty. Copies are made and given up by one thread
// (control); ServiceTable is made of these.
#pragma once

#include <array>
#include <memory>

#include "ipvs/endpoint_map.h"

namespace shunt::ipvs {

template <class F, class Value>
class EndpointShards {
 public:
  using Map = EndpointMap<F, Value>;
  using Address = typename Map::Address;
  using Key = typename Map::Key;
  /// About the root of the most keys there are, so that pointers and a shard cost alike.
  static constexpr size_t kShards = 256;

  static Key key_of(uint8_t protocol, const Address& address, uint16_t port) {
    return Map::key_of(protocol, address, port);
  }

  size_t size() const { return x_size; }

  /// Null if there is none.
  const Value* find(const Key& key) const {
    const uint64_t hash = Map::hash(key);
    const Map* shard = x_shards[shard_of(hash)].get();
    return shard ? shard->find(key, hash) : nullptr;
  }

  /// The key's value, made if there is none; until the next change.
  Value& at(const Key& key) {
    Map& shard = own(key);
    const size_t before = shard.size();
    Value& value = shard.at(key);
    x_size += shard.size() - before;
    return value;
  }

  void erase(const Key& key) {
    if (!find(key)) return;
    own(key).erase(key);
    x_size--;
  }

  /// What another map has otherwise: visit(its value, our value), null where there is none. Looks
  /// at the shards only that are not shared.
  template <class Visit>
  void each_difference(const EndpointShards& before, Visit visit) const {
    static const Map kEmpty;
    for (size_t i = 0; i < kShards; i++) {
      if (x_shards[i] == before.x_shards[i]) continue;
      const Map& old = before.x_shards[i] ? *before.x_shards[i] : kEmpty;
      const Map& now = x_shards[i] ? *x_shards[i] : kEmpty;
      now.each([&](const Key& key, const Value& value) {
        const Value* had = old.find(key, Map::hash(key));
        if (!had || !(*had == value)) visit(had, &value);
      });
      old.each([&](const Key& key, const Value& value) {
        if (!now.find(key, Map::hash(key))) visit(&value, nullptr);
      });
    }
  }

  /// Gives up a shard, below kShards, of a map that is not used any more.
  void drop_shard(size_t shard) { x_shards[shard].reset(); }

  /// How many shards two maps do not share.
  size_t shards_apart(const EndpointShards& other) const {
    size_t apart = 0;
    for (size_t i = 0; i < kShards; i++) apart += x_shards[i] != other.x_shards[i];
    return apart;
  }

 private:
  /// By the highest bits; a shard's array goes by the low ones.
  static size_t shard_of(uint64_t hash) {
    static_assert(kShards == 256);
    return hash >> 56;
  }

  Map& own(const Key& key) {
    std::shared_ptr<Map>& shard = x_shards[shard_of(Map::hash(key))];
    if (!shard)
      shard = std::make_shared<Map>();
    else if (shard.use_count() > 1)
      shard = std::make_shared<Map>(*shard);
    return *shard;
  }

  std::array<std::shared_ptr<Map>, kShards> x_shards;
  size_t x_size = 0;
};

}  // namespace shunt::ipvs
