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

/// Tries to free a place of a full bucket: one of its entries goes to its other bucket, where
/// another one may have to go first.
bool FlowIndex::make_room(uint32_t bucket) {
  const uint16_t* tags = x_buckets[bucket].tags;
  for (uint32_t i = 0; i < kPlaces; i++) {
    uint32_t next = other(bucket, tags[i]);
    if (next == bucket || !has_room(next)) continue;
    move(bucket, i, next);
    return true;
  }
  for (uint32_t i = 0; i < kPlaces; i++) {
    uint32_t next = other(bucket, tags[i]);
    if (next == bucket) continue;
    for (uint32_t k = 0; k < kPlaces; k++) {
      uint32_t last = other(next, x_buckets[next].tags[k]);
      if (last == next || last == bucket || !has_room(last)) continue;
      move(next, k, last);
      move(bucket, i, next);
      return true;
    }
  }
  return false;
}

/// In one of its two buckets.
bool FlowIndex::place(uint64_t hash, uint32_t value) {
  uint32_t first = home(hash), second = other(first, tag(hash));
  if (put(first, tag(hash), value, false)) return true;
  bool has_second = second != first;
  if (has_second && put(second, tag(hash), value, true)) {
    x_buckets[first].displaced++;
    return true;
  }
  if (make_room(first)) return put(first, tag(hash), value, false);
  if (!has_second || !make_room(second)) return false;
  x_buckets[first].displaced++;
  return put(second, tag(hash), value, true);
}

bool FlowIndex::insert(uint64_t hash, uint32_t value) {
  if (place(hash, value)) return true;
  if (x_stashed == kStashed) return false;
  x_stash[x_stashed++] = {hash, value};
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
  if (take_out(first, tag(hash), value * 2)) {
    if (x_stashed != 0) unstash();
    return;
  }
  if (take_out(other(first, tag(hash)), tag(hash), value * 2 + 1)) {
    x_buckets[first].displaced--;
    if (x_stashed != 0) unstash();
    return;
  }
  for (unsigned i = 0; i < x_stashed; i++)
    if (x_stash[i].value == value) x_stash[i--] = x_stash[--x_stashed];
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
  if (rename(other(first, tag(hash)), tag(hash), former * 2 + 1, value)) return;
  for (unsigned i = 0; i < x_stashed; i++)
    if (x_stash[i].value == former) x_stash[i].value = value;
}

/// There is room somewhere: whatever fits now leaves the stash.
void FlowIndex::unstash() {
  for (unsigned i = 0; i < x_stashed;) {
    if (place(x_stash[i].hash, x_stash[i].value))
      x_stash[i] = x_stash[--x_stashed];
    else
      i++;
  }
}

}  // namespace shunt::dataplane
