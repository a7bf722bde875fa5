#include "dataplane/flow_classes.h"

namespace shunt::dataplane {

FlowClasses::FlowClasses(const net::SipKey& secret) {
  auto odd = [&](uint64_t number) {
    return net::siphash<2, 4>(&number, sizeof number, secret) | 1;
  };
  x_odd = odd(1);
  for (uint64_t i : {0, 1}) x_behind_odd[i] = odd(2 + i);
}

uint32_t FlowClasses::row_behind(uint64_t endpoint) const {
  for (uint32_t from : {kRows, kChosenRows}) {
    const Lines lines = lines_of(endpoint, from);
    for (uint32_t line : {lines.first, lines.second})
      for (uint32_t row = line; row < line + kRowsOfLine; row++)
        if (x_rows[row].endpoint == endpoint) return row;
  }
  return kNoRow;
}

uint32_t FlowClasses::free_in(uint32_t line) const {
  for (uint32_t row = line; row < line + kRowsOfLine; row++)
    if (x_rows[row].endpoint == 0) return row;
  return kNoRow;
}

/// A free row in one of its lines, if need be after one of those there went to its other line: ten
/// lines are looked at, at the most.
uint32_t FlowClasses::free_behind(uint64_t endpoint, uint32_t from) {
  const Lines lines = lines_of(endpoint, from);
  for (uint32_t line : {lines.first, lines.second})
    if (const uint32_t row = free_in(line); row != kNoRow) return row;
  for (uint32_t line : {lines.first, lines.second})
    for (uint32_t row = line; row < line + kRowsOfLine; row++) {
      const Lines its = lines_of(x_rows[row].endpoint, from);
      const uint32_t to = free_in(its.first == line ? its.second : its.first);
      if (to == kNoRow) continue;
      move(row, to);
      return row;
    }
  return kNoRow;
}

void FlowClasses::move(uint32_t from, uint32_t to) {
  x_rows[to] = x_rows[from];
  x_taken[to] = x_taken[from];
  x_rows[from] = {};
  x_taken[from] = {};
}

/// A chosen endpoint in a first row goes behind.
bool FlowClasses::make_way(uint32_t first) {
  if (!x_taken[first].is_chosen) return false;
  const uint32_t behind = free_behind(x_rows[first].endpoint, kChosenRows);
  if (behind == kNoRow) return false;
  move(first, behind);
  x_behind[first]++;
  return true;
}

/// The row of an endpoint that is there, after it went to a better one if it may.
uint32_t FlowClasses::improve(uint32_t row, Origin origin) {
  if (origin == Origin::kConfigured && x_taken[row].is_chosen) {
    x_taken[row].is_chosen = false;
    x_chosen--;
  }
  if (row < kRows) return row;
  const uint64_t endpoint = x_rows[row].endpoint;
  const uint32_t first = home(endpoint);
  if (x_rows[first].endpoint != 0) {
    if (x_taken[row].is_chosen || !make_way(first)) return row;
    row = row_behind(endpoint);  // it may have moved itself
  }
  move(row, first);
  x_behind[first]--;
  return first;
}

uint32_t FlowClasses::refuse() {
  x_refused++;
  return kNoRow;
}

/// The row of an endpoint, new if need be; kNoRow: there is no room.
uint32_t FlowClasses::make(uint64_t endpoint, Origin origin) {
  if (const uint32_t row = row_of(endpoint); row != kNoRow) return improve(row, origin);
  const bool is_chosen = origin == Origin::kChosen;
  if (x_used == kMostEndpoints || (is_chosen && x_chosen == kMostChosen)) return refuse();
  uint32_t row = home(endpoint);
  if (const uint32_t first = row; x_rows[first].endpoint != 0 && (is_chosen || !make_way(first))) {
    row = free_behind(endpoint, is_chosen ? kChosenRows : kRows);
    if (row == kNoRow) return refuse();
    x_behind[first]++;
  }
  x_used++;
  x_chosen += is_chosen;
  x_rows[row].endpoint = endpoint;
  x_taken[row].is_chosen = is_chosen;
  set_used(home(endpoint));
  return row;
}

void FlowClasses::drop_if_unused(uint32_t row) {
  if (x_taken[row].destinations != 0 || x_taken[row].sources != 0 || x_rows[row].pick != 0) return;
  const uint32_t first = home(x_rows[row].endpoint);
  x_used--;
  x_chosen -= x_taken[row].is_chosen;
  x_rows[row] = {};
  x_taken[row] = {};
  if (row != first) x_behind[first]--;
  if (x_rows[first].endpoint == 0 && x_behind[first] == 0) clear_used(first);
}

FlowClasses::Class FlowClasses::take_destination(uint64_t endpoint, Origin origin) {
  const uint32_t row = make(endpoint, origin);
  if (row == kNoRow) return 0;
  Class& its = x_rows[row].as_destination;
  if (x_taken[row].destinations == 0) {
    if (x_freed_count != 0)
      its = x_freed[--x_freed_count];
    else if (x_never_used != kClasses)
      its = x_never_used++;
    if (its == 0) {
      drop_if_unused(row);
      return 0;
    }
  }
  x_taken[row].destinations++;
  return its;
}

FlowClasses::Class FlowClasses::give_destination(uint64_t endpoint) {
  const uint32_t row = row_of(endpoint);
  const Class its = x_rows[row].as_destination;
  if (--x_taken[row].destinations != 0) return its;
  x_freed[x_freed_count++] = its;
  x_rows[row].as_destination = 0;
  drop_if_unused(row);
  return its;
}

bool FlowClasses::take_source(uint64_t endpoint, Class answers, Origin origin) {
  const uint32_t row = make(endpoint, origin);
  if (row == kNoRow) return false;
  if (x_taken[row].sources != 0 && x_rows[row].as_source != answers) return false;
  x_rows[row].as_source = answers;
  if (x_taken[row].sources++ == 0) x_sources++;
  return true;
}

void FlowClasses::give_source(uint64_t endpoint) {
  const uint32_t row = row_of(endpoint);
  if (--x_taken[row].sources != 0) return;
  x_rows[row].as_source = 0;
  x_sources--;
  drop_if_unused(row);
}

bool FlowClasses::set_pick(uint64_t endpoint, uint32_t pick) {
  const uint32_t row = make(endpoint, Origin::kConfigured);  // picks.cc has no others
  if (row == kNoRow) return false;
  x_picks += (pick != 0) - (x_rows[row].pick != 0);
  x_rows[row].pick = pick;
  drop_if_unused(row);
  return true;
}

}  // namespace shunt::dataplane
