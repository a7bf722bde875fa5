// What changes a flow index: entries come, make room for each other, and go. Each in a bounded
// number of steps: making room looks at no more than kPlaces * (kPlaces + 1) other buckets.
#include "dataplane/flow_index.h"

namespace shunt::dataplane {

bool FlowIndex::put(uint32_t number, uint16_t tag, uint32_t value, bool is_displaced) {
  Bucket& bucket = x_buckets[number];
  uint32_t free = with(bucket, 0);
  if (free == 0) return false;
  auto place = static_cast<uint32_t>(std::countr_zero(free));
  bucket.tags[place] = tag;
  bucket.values[place] = value * 2 + is_displaced;
  return true;
}

/// Moves an entry to the bucket that is its other one from where it is.
void FlowIndex::move(uint32_t from, uint32_t place, uint32_t to) {
  Bucket& bucket = x_buckets[from];
  uint32_t entry = bucket.values[place];
  bool comes_home = entry & 1;
  if (comes_home)
    x_buckets[to].displaced--;
  else
    bucket.displaced++;
  put(to, bucket.tags[place], entry >> 1, !comes_home);
  bucket.tags[place] = 0;
}

/// The other bucket of an entry, if it may go there; else kNoBucket.
uint32_t FlowIndex::room_of(uint32_t number, uint32_t place) const {
  const Bucket& bucket = x_buckets[number];
  const uint32_t to = other(number, bucket.tags[place]);
  const bool leaves_home = !(bucket.values[place] & 1);
  return to == number || (leaves_home && bucket.displaced == kMostDisplaced) ? kNoBucket : to;
}

/// Tries to free a place of a full bucket: one of its entries goes to its other bucket, where
/// another one may have to go first.
bool FlowIndex::make_room(uint32_t bucket) {
  for (uint32_t i = 0; i < kPlaces; i++) {
    const uint32_t next = room_of(bucket, i);
    if (next == kNoBucket || !has_room(next)) continue;
    move(bucket, i, next);
    return true;
  }
  for (uint32_t i = 0; i < kPlaces; i++) {
    const uint32_t next = room_of(bucket, i);
    if (next == kNoBucket) continue;
    for (uint32_t k = 0; k < kPlaces; k++) {
      const uint32_t last = room_of(next, k);
      if (last == kNoBucket || last == bucket || !has_room(last)) continue;
      move(next, k, last);
      move(bucket, i, next);
      return true;
    }
  }
  return false;
}

/// In one of its two buckets.
bool FlowIndex::insert(uint64_t hash, uint32_t value) {
  const uint32_t first = home(hash), second = other(first, tag(hash));
  if (put(first, tag(hash), value, false)) return true;
  const auto may_leave = [&] {
    return second != first && x_buckets[first].displaced != kMostDisplaced;
  };
  if (!may_leave() || !put(second, tag(hash), value, true)) {
    if (make_room(first)) return put(first, tag(hash), value, false);
    if (!may_leave() || !make_room(second) || !may_leave()) return false;
    put(second, tag(hash), value, true);
  }
  x_buckets[first].displaced++;
  return true;
}

bool FlowIndex::take_out(uint32_t number, uint16_t tag, uint32_t entry) {
  Bucket& bucket = x_buckets[number];
  for (uint32_t places = with(bucket, tag); places != 0; places &= places - 1) {
    auto place = static_cast<uint32_t>(std::countr_zero(places));
    if (bucket.values[place] != entry) continue;
    bucket.tags[place] = 0;
    return true;
  }
  return false;
}

void FlowIndex::erase(uint64_t hash, uint32_t value) {
  uint32_t first = home(hash);
  if (take_out(first, tag(hash), value * 2)) return;
  if (take_out(other(first, tag(hash)), tag(hash), value * 2 + 1)) x_buckets[first].displaced--;
}

bool FlowIndex::rename(uint32_t number, uint16_t tag, uint32_t entry, uint32_t value) {
  Bucket& bucket = x_buckets[number];
  for (uint32_t places = with(bucket, tag); places != 0; places &= places - 1) {
    uint32_t& there = bucket.values[std::countr_zero(places)];
    if (there != entry) continue;
    there = value * 2 + (entry & 1);
    return true;
  }
  return false;
}

void FlowIndex::replace(uint64_t hash, uint32_t former, uint32_t value) {
  uint32_t first = home(hash);
  if (rename(first, tag(hash), former * 2, value)) return;
  rename(other(first, tag(hash)), tag(hash), former * 2 + 1, value);
}

}  // namespace shunt::dataplane
