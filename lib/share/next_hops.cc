#include "share/next_hops.h"

#include <sys/random.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "share/published.h"

namespace shunt::share {

Result<std::unique_ptr<NextHops>> NextHops::create(const char* name, uint32_t capacity) {
  assert(capacity < uint32_t{1} << kRowBits);
  std::unique_ptr<NextHops> hops(new NextHops);
  if (getrandom(&hops->x_key, sizeof hops->x_key, 0) != sizeof hops->x_key)
    return Error{std::string("next hops ") + name + ": the kernel gives no random bytes"};
  // Twice as many slots as rows: both buckets of an address are never full at once in practice.
  const auto buckets = std::bit_ceil(std::max<uint64_t>(uint64_t{capacity} * 2 / kSlots, 4));
  hops->x_bucket_mask = buckets - 1;
  hops->x_buckets = std::make_unique<Bucket[]>(buckets);
  hops->x_rows = std::make_unique<Row[]>(capacity);
  hops->x_ids.assign(capacity, kNoNextHop);
  hops->x_uses.assign(capacity, 0);
  hops->x_capacity = capacity;
  return hops;
}

uint64_t NextHops::hash(uint8_t port, const Address& address) const {
  std::array<uint8_t, 24> key{};
  key[0] = port;
  if (address.is_v4()) {
    std::memcpy(&key[4], address.bytes.data(), 4);
    return net::siphash<1, 3>(key.data(), 8, x_key);
  }
  std::memcpy(&key[8], address.bytes.data(), 16);
  return net::siphash<1, 3>(key.data(), 24, x_key);
}

const NextHops::Bucket& NextHops::bucket(uint64_t hash, unsigned choice) const {
  return x_buckets[(choice == 0 ? hash : hash >> 16) & x_bucket_mask];
}

NextHops::Slot* NextHops::slot_of(uint64_t hash, uint32_t id) {
  for (unsigned choice : {0, 1})
    for (const Slot& slot : bucket(hash, choice).slots)
      if (static_cast<uint32_t>(slot.load(std::memory_order_relaxed)) == id)
        return const_cast<Slot*>(&slot);
  return nullptr;
}

NextHops::Slot* NextHops::empty_slot(uint64_t hash) {
  Slot* empty[2] = {nullptr, nullptr};
  unsigned room[2] = {0, 0};
  for (unsigned choice : {0, 1})
    for (const Slot& slot : bucket(hash, choice).slots)
      if (slot.load(std::memory_order_relaxed) == 0) {
        empty[choice] = const_cast<Slot*>(&slot);
        room[choice]++;
      }
  return empty[room[1] > room[0]];
}

uint32_t NextHops::find(uint8_t port, const Address& address) const {
  const uint64_t its = hash(port, address);
  for (unsigned choice : {0, 1})
    for (const Slot& slot : bucket(its, choice).slots) {
      const uint64_t word = slot.load(std::memory_order_acquire);
      if (word >> 32 != its >> 32 || word == 0) continue;
      const auto id = static_cast<uint32_t>(word);
      if (is(id, port, address)) return id;
    }
  return kNoNextHop;
}

void NextHops::store(uint32_t row, const NextHop& hop) {
  const auto word = std::bit_cast<uint64_t>(hop);
  if (word == x_rows[row].word.load(std::memory_order_relaxed)) return;
  x_rows[row].word.store(word, std::memory_order_release);
  x_changes.add();
}

std::optional<uint32_t> NextHops::take_row() {
  uint32_t row;
  if (!x_free.empty()) {
    row = x_free.front();
    x_free.pop_front();
  } else if (x_begun != x_capacity) {
    row = x_begun++;
  } else {
    return std::nullopt;
  }
  return row;
}

std::optional<uint32_t> NextHops::learn(uint8_t port, const Address& address,
                                        const MacAddress& mac) {
  if (const uint32_t known = find(port, address); known != kNoNextHop) {
    store(row_of(known), {mac, port, static_cast<uint8_t>(known >> kRowBits)});
    return known;
  }
  const uint64_t its = hash(port, address);
  Slot* slot = empty_slot(its);
  if (!slot) return std::nullopt;
  const auto taken = take_row();
  if (!taken) return std::nullopt;
  const uint32_t row = *taken, use = ++x_uses[row], id = row | use << kRowBits;
  x_rows[row].port = port;
  x_rows[row].address = address;
  x_rows[row].used.store(0, std::memory_order_relaxed);
  store(row, {mac, port, static_cast<uint8_t>(use)});
  slot->store((its >> 32) << 32 | id, std::memory_order_release);  // publishes the row
  x_changes.add();
  x_ids[row] = id;
  x_size++;
  return id;
}

void NextHops::forget(uint8_t port, const Address& address, Quiescence& quiescence) {
  const uint32_t id = find(port, address);
  if (id == kNoNextHop) return;
  const uint32_t row = row_of(id);
  // From here on no id is known there; who found it before reads its own address for this turn.
  store(row, {{}, port, 0});
  slot_of(hash(port, address), id)->store(0, std::memory_order_release);
  x_ids[row] = kNoNextHop;
  x_size--;
  if (x_uses[row] == kLastUse)
    x_worn.push_back(row);
  else
    x_waiting.push_back({quiescence.mark(), row});
}

void NextHops::reclaim(Quiescence& quiescence) {
  while (!x_waiting.empty() && quiescence.passed(x_waiting.front().mark)) {
    x_free.push_back(x_waiting.front().row);
    x_waiting.pop_front();
  }
}

void NextHops::renew(Quiescence& quiescence) {
  if (x_worn.empty()) return;
  const uint64_t mark = quiescence.mark();
  for (uint32_t row : x_worn) {
    x_uses[row] = 0;
    x_waiting.push_back({mark, row});
  }
  x_worn.clear();
}

void NextHops::touch_first(uint32_t id) {
  x_rows[row_of(id)].used.store(1, std::memory_order_relaxed);
}

bool NextHops::take_used(uint32_t id) {
  if (x_rows[row_of(id)].used.exchange(0, std::memory_order_relaxed) == 0) return false;
  x_changes.add();
  return true;
}

}  // namespace shunt::share
