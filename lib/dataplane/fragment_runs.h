// Which bytes of a datagram have come: runs of bytes, sorted, with a gap between each two.
//
// A fragment that touches a run extends it, as in Linux (inet_frag_queue_insert), so that fragments
// in order or in reverse order keep to one run. The work of an insert is bounded: a binary search
// among at most kMost runs (7 steps), and at most kMost runs of 4 bytes moved by one place.
#pragma once

#include <cstdint>
#include <cstring>

namespace shunt::dataplane {

class FragmentRuns {
 public:
  /// The caller adds no more fragments than this between two calls of clear().
  static constexpr unsigned kMost = 128;

  enum class Added {
    kNew,       ///< noted
    kTaken,     ///< one run holds all of these bytes already: a duplicate
    kOverlaps,  ///< some of these bytes are there already
  };

  /// To be called before the first add(): the constructor touches no memory.
  void clear() { x_count = 0; }

  /// Notes the bytes [begin, end), with begin < end <= 65535, unless some of them are there.
  Added add(uint32_t begin, uint32_t end) {
    const unsigned at = first_reaching(begin);
    const bool extends = at < x_count && x_runs[at].end == begin;
    // The first run that ends behind `begin`.
    const unsigned next = at + extends;
    bool touches = false;
    if (next < x_count) {
      const Run& run = x_runs[next];
      if (run.begin <= begin && end <= run.end) return Added::kTaken;
      if (run.begin < end) return Added::kOverlaps;
      touches = run.begin == end;
    }
    if (extends && touches) {
      x_runs[at].end = x_runs[next].end;
      move(next + 1, next);
      x_count--;
    } else if (extends) {
      x_runs[at].end = static_cast<uint16_t>(end);
    } else if (touches) {
      x_runs[next].begin = static_cast<uint16_t>(begin);
    } else {
      move(next, next + 1);
      x_runs[next] = {static_cast<uint16_t>(begin), static_cast<uint16_t>(end)};
      x_count++;
    }
    return Added::kNew;
  }

  /// Are all bytes before `end` there?
  bool is_whole(uint32_t end) const {
    return x_count == 1 && x_runs[0].begin == 0 && x_runs[0].end == end;
  }

  unsigned count() const { return x_count; }

 private:
  struct Run {
    uint16_t begin, end;
  };

  /// The number of runs that end before `begin`.
  unsigned first_reaching(uint32_t begin) const {
    // Most fragments come in order.
    if (x_count == 0 || x_runs[x_count - 1].end < begin) return x_count;
    unsigned low = 0, high = x_count - 1;
    while (low < high) {
      const unsigned middle = (low + high) / 2;
      if (x_runs[middle].end < begin)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  /// Moves the runs from `from` on so that they begin at `to`.
  void move(unsigned from, unsigned to) {
    std::memmove(x_runs + to, x_runs + from, (x_count - from) * sizeof(Run));
  }

  uint16_t x_count;
  Run x_runs[kMost];
};

}  // namespace shunt::dataplane
