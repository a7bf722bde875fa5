#include "dataplane/flow_classes.h"

#include "net/siphash.h"

namespace shunt::dataplane {

FlowClasses::FlowClasses(uint64_t seed)
    : x_odd(net::siphash<2, 4>(&seed, sizeof seed, seed, 0x636c61737365) | 1) {}

/// The row of an endpoint, new if need be; kNoRow: there are too many.
uint32_t FlowClasses::make(uint64_t endpoint) {
  const uint32_t row = row_of(endpoint);
  if (x_rows[row].endpoint != 0) return row;
  if (x_used == kRows / 2) return kNoRow;
  x_used++;
  x_rows[row].endpoint = endpoint;
  set_used(row);
  return row;
}

/// Frees the row and closes the gap: whatever of the run behind it could be found only past it
/// moves up (Knuth, The Art of Computer Programming, vol. 3, section 6.4, algorithm R).
void FlowClasses::drop_if_unused(uint32_t row) {
  if (x_taken[row].destinations != 0 || x_taken[row].sources != 0 || x_rows[row].pick != 0) return;
  x_used--;
  uint32_t gap = row;
  for (uint32_t i = (gap + 1) % kRows; x_rows[i].endpoint != 0; i = (i + 1) % kRows) {
    const uint32_t from_home = (i - home(x_rows[i].endpoint)) % kRows, from_gap = (i - gap) % kRows;
    if (from_home < from_gap) continue;
    x_rows[gap] = x_rows[i];
    x_taken[gap] = x_taken[i];
    gap = i;
  }
  x_rows[gap] = {};
  clear_used(gap);
  x_taken[gap] = {};
}

FlowClasses::Class FlowClasses::take_destination(uint64_t endpoint) {
  const uint32_t row = make(endpoint);
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

bool FlowClasses::take_source(uint64_t endpoint, Class answers) {
  const uint32_t row = make(endpoint);
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
  const uint32_t row = make(endpoint);
  if (row == kNoRow) return false;
  x_picks += (pick != 0) - (x_rows[row].pick != 0);
  x_rows[row].pick = pick;
  drop_if_unused(row);
  return true;
}

}  // namespace shunt::dataplane
