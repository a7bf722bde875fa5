// What changes flow lines: entries come, make room for each other, and go. Each in a bounded number
// of steps: making room looks at no more than kPlaces * (kPlaces + 1) other lines.
#include "dataplane/flow_lines.h"

#include "net/siphash.h"

namespace shunt::dataplane {

void FlowLines::use(Line* lines, uint32_t count, uint64_t seed) {
  x_lines = lines;
  x_count = count;
  const uint64_t numbers[] = {1, 2};
  x_first = net::siphash<2, 4>(&numbers[0], sizeof numbers[0], seed, 0x6c696e6573) | 1;
  x_second = net::siphash<2, 4>(&numbers[1], sizeof numbers[1], seed, 0x6c696e6573) | 1;
}

bool FlowLines::put(Line& line, uint64_t key, uint64_t word) {
  uint32_t free = matches(line, 0);
  if (free == 0) return false;
  auto place = static_cast<unsigned>(std::countr_zero(free));
  line.keys[place] |= key;
  line.words[place] = word;
  return true;
}

/// Moves an entry to the line that is its other one from where it is.
void FlowLines::move(uint32_t from, unsigned place, uint32_t to) {
  Line& line = x_lines[from];
  const uint64_t key = key_at(line, place);
  put(x_lines[to], key, line.words[place]);
  clear(line, place);
  if (home(hash(key)) == from)
    one_more_displaced(line);
  else
    one_less_displaced(x_lines[to]);
}

/// Tries to free a place of a full line: one of its entries goes to its other line, where another
/// one may have to go first.
bool FlowLines::make_room(uint32_t line) {
  for (unsigned i = 0; i < kPlaces; i++) {
    uint32_t next = elsewhere(line, i);
    if (next == line || !has_room(next)) continue;
    move(line, i, next);
    return true;
  }
  for (unsigned i = 0; i < kPlaces; i++) {
    uint32_t next = elsewhere(line, i);
    if (next == line) continue;
    for (unsigned k = 0; k < kPlaces; k++) {
      uint32_t last = elsewhere(next, k);
      if (last == next || last == line || !has_room(last)) continue;
      move(next, k, last);
      move(line, i, next);
      return true;
    }
  }
  return false;
}

/// In one of its two lines.
bool FlowLines::place(uint64_t key, uint64_t word) {
  const uint64_t its = hash(key);
  const uint32_t first = home(its), second = other(first, its);
  if (put(x_lines[first], key, word)) return true;
  const bool has_second = second != first;
  if (!has_second || !put(x_lines[second], key, word)) {
    if (make_room(first)) return put(x_lines[first], key, word);
    if (!has_second || !make_room(second)) return false;
    put(x_lines[second], key, word);
  }
  one_more_displaced(x_lines[first]);
  return true;
}

bool FlowLines::insert(uint64_t key, uint64_t word) {
  if (place(key, word)) return true;
  if (x_stashed == kStashed) return false;
  x_stash[x_stashed++] = {key, word};
  return true;
}

void FlowLines::erase(uint64_t key, const uint64_t* word) {
  if (word >= &x_stash[0].key && word < &x_stash[kStashed].key) {
    for (unsigned i = 0; i < x_stashed; i++)
      if (word == &x_stash[i].word) x_stash[i] = x_stash[--x_stashed];
    return;
  }
  const auto line = static_cast<uint32_t>(
      reinterpret_cast<const Line*>(reinterpret_cast<uintptr_t>(word) / 64 * 64) - x_lines);
  clear(x_lines[line], static_cast<unsigned>(word - x_lines[line].words));
  const uint32_t first = home(hash(key));
  if (line != first) one_less_displaced(x_lines[first]);
  if (x_stashed != 0) unstash();
}

/// There is room somewhere: whatever fits now leaves the stash.
void FlowLines::unstash() {
  for (unsigned i = 0; i < x_stashed;) {
    if (place(x_stash[i].key, x_stash[i].word))
      x_stash[i] = x_stash[--x_stashed];
    else
      i++;
  }
}

}  // namespace shunt::dataplane
