// What sessions that a helper looks into (FTP's control connections) need beyond a session's bytes:
// what the client has asked for, how far sequence numbers are shifted, and how many sessions were
// expected by it. A row for each, found by the session's number.
//
// Invariant: a row lives as long as its session, or as long as sessions that it expected, which
// name it in Session::control (kExpected). A fixed number of rows in pages that exist only once
// they are touched, rationed by the clients' networks; a session that finds none is not helped.
// Owner: the worker.
#pragma once

#include <cstdint>

#include "dataplane/ration.h"
#include "dataplane/untouched.h"
#include "net/ftp.h"

namespace shunt::dataplane {

/// How sequence numbers of one direction are shifted since payload was replaced: by `before` up to
/// the segment at `from`, by `after` behind it. (struct nf_ct_seqadj, nf_conntrack_seqadj.c)
struct SequenceShift {
  uint32_t from;
  int32_t before, after;

  /// The segment at `sequence` becomes longer by so much.
  void note(uint32_t sequence, int32_t longer) {
    if (before != after && static_cast<int32_t>(sequence - from) <= 0) return;
    from = sequence;
    before = after;
    after += longer;
  }
  /// Of a segment.
  int32_t of(uint32_t sequence) const {
    return static_cast<int32_t>(sequence - from) > 0 ? after : before;
  }
  /// Of an acknowledgement of shifted ones.
  int32_t of_shifted(uint32_t acknowledged) const {
    return of(acknowledged - static_cast<uint32_t>(before));
  }
  explicit operator bool() const { return before != 0 || after != 0; }
};

/// Row of a helped session.
struct Help {
  uint32_t next;      ///< of its slot or the free ones, plus 1; 0: none
  uint32_t session;   ///< kGone: only what it expected is left
  uint32_t expected;  ///< living sessions
  net::FtpMode asked;
  /// The answer that was replaced last: it is replaced again if it comes again.
  net::FtpMode replaced;
  uint16_t group;  ///< its client's: see Ration
  uint32_t replaced_at;
  SequenceShift of_client, of_server;  ///< of what either sends, as the other sees it

  static constexpr uint32_t kGone = UINT32_MAX;
};

class Helped {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kMost = 1u << 16;

  explicit Helped(uint32_t most = kMost)
      : x_most(most), x_ration(most), x_rows(most), x_heads(most) {}

  /// A row for a session of a client of this group (Ration); false if all are taken, or the group
  /// has its share.
  bool add(uint32_t session, uint16_t group) {
    uint32_t number = x_used;
    if ((x_free == 0 && x_used == x_most) || !x_ration.take(group)) return false;
    if (x_free != 0) {
      number = x_free - 1;
      x_free = x_rows[number].next;
    } else {
      x_used++;
    }
    uint32_t& head = x_heads[session % x_most];
    x_rows[number] = {};
    x_rows[number].session = session;
    x_rows[number].group = group;
    x_rows[number].next = head;
    head = number + 1;
    x_size++;
    return true;
  }
  /// The number of a session's row; kNone if it has none.
  uint32_t find(uint32_t session) const {
    for (uint32_t at = x_heads[session % x_most]; at != 0; at = x_rows[at - 1].next)
      if (x_rows[at - 1].session == session) return at - 1;
    return kNone;
  }
  Help& operator[](uint32_t row) { return x_rows[row]; }

  /// A helped session ends.
  void remove(uint32_t session) {
    uint32_t* at = &x_heads[session % x_most];
    while (x_rows[*at - 1].session != session) at = &x_rows[*at - 1].next;
    const uint32_t row = *at - 1;
    *at = x_rows[row].next;
    x_rows[row].session = Help::kGone;
    x_size--;
    if (x_rows[row].expected == 0) free(row);
  }

  /// A session was expected by a row's, or such a one ends.
  void expect(uint32_t row) {
    x_rows[row].expected++;
    x_expected++;
  }
  void release(uint32_t row) {
    x_expected--;
    if (--x_rows[row].expected == 0 && x_rows[row].session == Help::kGone) free(row);
  }

  bool empty() const { return x_size == 0; }
  bool expects() const { return x_expected != 0; }

 private:
  void free(uint32_t row) {
    x_ration.give_back(x_rows[row].group);
    x_rows[row].next = x_free;
    x_free = row + 1;
  }

  uint32_t x_most, x_used = 0, x_free = 0;
  uint32_t x_size = 0;      ///< helped sessions
  uint32_t x_expected = 0;  ///< by all rows
  Ration x_ration;
  Untouched<Help> x_rows;
  Untouched<uint32_t> x_heads;
};

}  // namespace shunt::dataplane
