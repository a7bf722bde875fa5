// The Call-IDs of one worker's persistence templates (--pe sip), which have no room for them: a row
// for each, found by its text and by what else tells templates apart: clients choose both, and many
// may choose the same text.
//
// Invariant: a row in use belongs to one living template, which names it (persistence.cc). A fixed
// number of rows in chains under a keyed hash, in pages that exist only once they are touched. A
// chain has kLongest rows at the most, whoever knows the key; a full table, or chain, refuses.
// Owner: the worker.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/untouched.h"
#include "net/family.h"
#include "net/sip.h"
#include "net/siphash.h"

namespace shunt::dataplane {

class CallIds {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMost = 1u << 18, kLongest = 32;

  explicit CallIds(const net::SipKey& secret, uint32_t most = kMost)
      : x_key(secret), x_most(most), x_rows(most), x_heads(most) {}

  /// What tells templates apart apart from their Call-IDs, as bytes: at most a tuple of IPv6.
  using Name = std::string_view;

  /// The template that has this Call-ID and for which is_it(template) holds, which is so only for
  /// those of that name, the newest first; kNone if there is none.
  template <class IsIt>
  uint32_t find(Name name, std::string_view call_id, IsIt is_it) const {
    for (uint32_t at = x_heads[slot(name, call_id)]; at != 0; at = x_rows[at - 1].next) {
      const Row& row = x_rows[at - 1];
      if (text(at - 1) == call_id && is_it(row.session)) return row.session;
    }
    return kNone;
  }

  /// A row for this Call-ID, of 1 to net::kMostCallId bytes; kNone if all are taken, or too many
  /// have one hash.
  uint32_t add(Name name, std::string_view call_id) {
    const uint32_t its = slot(name, call_id);
    uint32_t number = kNone, length = 0;
    for (uint32_t at = x_heads[its]; at != 0; at = x_rows[at - 1].next) length++;
    if (length >= kLongest) return kNone;
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
    row.slot = its;
    uint32_t& head = x_heads[its];
    row.next = head;
    row.session = kNone;
    head = number + 1;
    return number;
  }
  void belongs(uint32_t row, uint32_t session) { x_rows[row].session = session; }

  void remove(uint32_t number) {
    uint32_t* at = &x_heads[x_rows[number].slot];
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
    uint32_t slot;
    uint8_t length;
    char bytes[net::kMostCallId];
  };

  uint32_t slot(Name name, std::string_view call_id) const {
    uint8_t both[sizeof(net::Tuple<net::V6>) + net::kMostCallId];
    std::memcpy(both, name.data(), name.size());
    std::memcpy(both + name.size(), call_id.data(), call_id.size());
    const uint64_t hash = net::siphash<1, 3>(both, name.size() + call_id.size(), x_key);
    return static_cast<uint32_t>(((hash >> 32) * x_most) >> 32);
  }

  net::SipKey x_key;
  uint32_t x_most, x_used = 0, x_free = 0;
  Untouched<Row> x_rows;
  Untouched<uint32_t> x_heads;
};

}  // namespace shunt::dataplane
