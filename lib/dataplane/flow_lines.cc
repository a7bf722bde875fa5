// What changes flow lines: entries come, make room for each other, and go. Each in a bounded number
// of steps: making room looks at no more than kPlaces * (kPlaces + 1) other lines.
#include "dataplane/flow_lines.h"

namespace shunt::dataplane {

void FlowLines::use(Line* lines, uint32_t count, const net::SipKey& secret) {
  x_lines = lines;
  x_count = count;
  const uint64_t numbers[] = {1, 2};
  x_first = net::siphash<2, 4>(&numbers[0], sizeof numbers[0], secret) | 1;
  x_second = net::siphash<2, 4>(&numbers[1], sizeof numbers[1], secret) | 1;
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

/// The other line of an entry, if it may go there; else kNoLine.
uint32_t FlowLines::room_of(uint32_t line, unsigned place) const {
  const uint64_t its = hash(key_at(x_lines[line], place));
  const bool leaves_home = home(its) == line;
  const uint32_t to = other(line, its);
  return to == line || (leaves_home && displaced(x_lines[line]) == kMostDisplaced) ? kNoLine : to;
}

/// Tries to free a place of a full line: one of its entries goes to its other line, where another
/// one may have to go first.
bool FlowLines::make_room(uint32_t line) {
  for (unsigned i = 0; i < kPlaces; i++) {
    const uint32_t next = room_of(line, i);
    if (next == kNoLine || !has_room(next)) continue;
    move(line, i, next);
    return true;
  }
  for (unsigned i = 0; i < kPlaces; i++) {
    const uint32_t next = room_of(line, i);
    if (next == kNoLine) continue;
    for (unsigned k = 0; k < kPlaces; k++) {
      const uint32_t last = room_of(next, k);
      if (last == kNoLine || last == line || !has_room(last)) continue;
      move(next, k, last);
      move(line, i, next);
      return true;
    }
  }
  return false;
}

/// In one of its two lines.
bool FlowLines::insert(uint64_t key, uint64_t word) {
  const uint64_t its = hash(key);
  const uint32_t first = home(its), second = other(first, its);
  if (put(x_lines[first], key, word)) return true;
  const auto may_leave = [&] {
    return second != first && displaced(x_lines[first]) != kMostDisplaced;
  };
  if (!may_leave() || !put(x_lines[second], key, word)) {
    if (make_room(first)) return put(x_lines[first], key, word);
    if (!may_leave() || !make_room(second) || !may_leave()) return false;
    put(x_lines[second], key, word);
  }
  one_more_displaced(x_lines[first]);
  return true;
}

void FlowLines::erase(uint64_t key, const uint64_t* word) {
  const auto line = static_cast<uint32_t>(
      reinterpret_cast<const Line*>(reinterpret_cast<uintptr_t>(word) / 64 * 64) - x_lines);
  clear(x_lines[line], static_cast<unsigned>(word - x_lines[line].words));
  const uint32_t first = home(hash(key));
  if (line != first) one_less_displaced(x_lines[first]);
}

}  // namespace shunt::dataplane
