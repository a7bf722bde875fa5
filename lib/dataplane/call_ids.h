// The Call-IDs of one worker's persistence templates (--pe sip), which have no room for them: a row
// for each, found by its text.
//
// Invariant: a row in use belongs to one living template, which names it (persistence.cc). A fixed
// number of rows under a keyed hash, in pages that exist only once they are touched; a full table
// refuses. Owner: the worker.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/untouched.h"
#include "net/sip.h"
#include "net/siphash.h"

namespace shunt::dataplane {

class CallIds {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMost = 1u << 18;

  explicit CallIds(uint32_t seed, uint32_t most = kMost)
      : x_key{seed, ~uint64_t{seed}}, x_most(most), x_rows(most), x_heads(most) {}

  /// The template that has this Call-ID and for which is_it(template) holds, the newest first;
  /// kNone if there is none.
  template <class IsIt>
  uint32_t find(std::string_view call_id, IsIt is_it) const {
    for (uint32_t at = x_heads[slot(call_id)]; at != 0; at = x_rows[at - 1].next) {
      const Row& row = x_rows[at - 1];
      if (text(at - 1) == call_id && is_it(row.session)) return row.session;
    }
    return kNone;
  }

  /// A row for this Call-ID, of 1 to net::kMostCallId bytes; kNone if all are taken.
  uint32_t add(std::string_view call_id) {
    uint32_t number = kNone;
    if (x_free != 0) {
      number = x_free - 1;
      x_free = x_rows[number].next;
    } else if (x_used < x_most) {
      number = x_used++;
    } else {
      return kNone;
    }
    Row& row = x_rows[number];
    row.length = static_cast<uint8_t>(call_id.size());
    std::memcpy(row.bytes, call_id.data(), row.length);
    uint32_t& head = x_heads[slot(call_id)];
    row.next = head;
    row.session = kNone;
    head = number + 1;
    return number;
  }
  void belongs(uint32_t row, uint32_t session) { x_rows[row].session = session; }

  void remove(uint32_t number) {
    uint32_t* at = &x_heads[slot(text(number))];
    while (*at != number + 1) at = &x_rows[*at - 1].next;
    *at = x_rows[number].next;
    x_rows[number].next = x_free;
    x_free = number + 1;
  }

  std::string_view text(uint32_t number) const {
    return {x_rows[number].bytes, x_rows[number].length};
  }

 private:
  struct Row {
    uint32_t next;  ///< of its slot or the free ones, plus 1; 0: none
    uint32_t session;
    uint8_t length;
    char bytes[net::kMostCallId];
  };

  size_t slot(std::string_view call_id) const {
    return net::siphash<1, 3>(call_id.data(), call_id.size(), x_key) % x_most;
  }

  net::SipKey x_key;
  uint32_t x_most, x_used = 0, x_free = 0;
  Untouched<Row> x_rows;
  Untouched<uint32_t> x_heads;
};

}  // namespace shunt::dataplane
