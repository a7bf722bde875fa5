#include "share/next_hops.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_jhash.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string>

namespace shunt::share {

namespace {

constexpr uint32_t kFewestEntries = 8;  // of an rte_hash: one bucket

struct Key {
  uint8_t port;
  Family family;
  uint8_t zero[2] = {};
  std::array<uint8_t, 16> bytes;
};
static_assert(sizeof(Key) == 20);

}  // namespace

Result<std::unique_ptr<NextHops>> NextHops::create(const char* name, uint32_t capacity) {
  // rte_hash cuts the names of its rings short: ours are short and unique by themselves.
  static std::atomic<unsigned> serial;
  std::string index_name = "hops." + std::to_string(serial++);
  rte_hash_parameters parameters{};
  parameters.name = index_name.c_str();
  parameters.entries = std::max(capacity, kFewestEntries);
  parameters.key_len = sizeof(Key);
  parameters.hash_func = rte_jhash;
  parameters.socket_id = -1;
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE;
  std::unique_ptr<NextHops> hops(new NextHops);
  hops->x_index = rte_hash_create(&parameters);
  if (hops->x_index == nullptr)
    return Error{std::string("next hops ") + name + ": no index for " + std::to_string(capacity) +
                 " next hops: " + rte_strerror(rte_errno) + "; reserve more memory or give fewer"};
  hops->x_rows = std::make_unique<Row[]>(capacity);
  hops->x_capacity = capacity;
  return hops;
}

NextHops::~NextHops() {
  rte_hash_free(x_index);
}

std::optional<uint32_t> NextHops::intern(uint8_t port, const Address& address) {
  uint32_t known = find(port, address);
  if (known != kNoNextHop) return known;
  uint32_t id = x_size.load(std::memory_order_relaxed);
  if (id == x_capacity) return std::nullopt;
  Row& row = x_rows[id];
  row.address = address;
  row.word.store(std::bit_cast<uint64_t>(NextHop{.port = port}), std::memory_order_relaxed);
  Key key{port, address.family, {}, address.bytes};
  // Publishes the row: rte_hash stores the key's place with release order.
  if (rte_hash_add_key_data(x_index, &key, reinterpret_cast<void*>(uintptr_t{id})) != 0)
    return std::nullopt;
  x_size.store(id + 1, std::memory_order_release);
  return id;
}

void NextHops::set(uint32_t id, NextHop::State state, const MacAddress& mac) {
  assert(id < size());
  NextHop hop = get(id);
  hop.state = state;
  hop.mac = mac;
  const auto word = std::bit_cast<uint64_t>(hop);
  if (word == x_rows[id].word.load(std::memory_order_relaxed)) return;
  x_rows[id].word.store(word, std::memory_order_release);
  x_changes.add();
}

Address NextHops::address(uint32_t id) const {
  assert(id < size());
  return x_rows[id].address;
}

uint32_t NextHops::size() const {
  return x_size.load(std::memory_order_acquire);
}

uint32_t NextHops::find(uint8_t port, const Address& address) const {
  Key key{port, address.family, {}, address.bytes};
  void* data;
  if (rte_hash_lookup_data(x_index, &key, &data) < 0) return kNoNextHop;
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data));
}

void NextHops::touch_first(uint32_t id) {
  x_rows[id].used.store(1, std::memory_order_relaxed);
}

bool NextHops::take_used(uint32_t id) {
  if (x_rows[id].used.exchange(0, std::memory_order_relaxed) == 0) return false;
  x_changes.add();
  return true;
}

}  // namespace shunt::share
