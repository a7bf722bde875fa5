// The packets of a burst that are refused at once (refuse.h), in the swift lane's own compilation.
#pragma once

#include "dataplane/absent.h"
#include "dataplane/burst_scan.h"
#include "dataplane/refuse.h"

namespace shunt::dataplane {
namespace {

class Refusals {
 public:
  Refusals(Worker& worker, uint8_t port_in, const Scanned& scanned)
      : x_worker(worker),
        x_scanned(scanned),
        x_port_in(port_in),
        x_may(worker.room<net::V4>() == 0 && may_refuse(worker)),
        x_evictions(worker.settings.full == ipvs::FullPolicy::kEvict ? worker.evictions_left : 0) {}

  bool may() const { return x_may; }

  /// Takes those of these packets that are refused, and returns them, a bit each.
  uint64_t take(const Burst& burst, uint64_t packets) {
    const TupleIndex<net::V4>& index = x_worker.sessions_v4->index();
    RefusedDestinations& refused = x_worker.refused_destinations;
    refused.begin(x_worker.picks.revision());
    // None of this changes meanwhile.
    const bool asks_each = index.has_hashed(), has_sources = index.classes().has_sources();
    uint64_t taken = 0;
    for (uint64_t left = absent(index.lines(), x_scanned, packets, Frame::begins_connection);
         left != 0; left &= left - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(left));
      const uint8_t* frame = x_scanned.frames[i];
      const uint64_t destination = x_scanned.destinations[i];
      if (!refused.has(destination) || asks_each || comes_from_ftp(frame) ||
          (has_sources && may_answer(index.classes(), frame))) [[unlikely]] {
        bool for_all = false;
        if (!is_refused(x_worker, frame, x_port_in, for_all)) continue;
        if (for_all) refused.add(destination);
      }
      if (may_evict(i)) continue;
      x_bytes += burst.packets[i]->pkt_len;
      x_packets[x_count++] = burst.packets[i];
      taken |= uint64_t{1} << i;
    }
    return taken;
  }

  uint64_t bytes() const { return x_bytes; }  ///< of those taken
  unsigned count() const { return x_count; }

  void end() {
    if (x_count != 0) x_worker.drop_all(x_packets, x_count, ipvs::DropReason::kTableFull);
  }

 private:
  /// Is it among the first that the stages may let in at others' cost, or of a tuple that one of
  /// them may have, which then finds a session? As many as may be must have been left to them
  /// before any is refused here.
  bool may_evict(size_t i) {
    for (uint64_t left = x_left; left != 0; left &= left - 1)
      if (x_scanned.lines[std::countr_zero(left)] == x_scanned.lines[i]) return true;
    if (x_evictions == 0) return false;
    x_evictions--;
    x_left |= uint64_t{1} << i;
    return true;
  }
  static bool comes_from_ftp(const uint8_t* frame) {
    return load<uint16_t>(frame + Frame::kL4) == be16(ipvs::kFtpDataPort).raw();
  }
  /// May it come from a server's endpoint?
  static bool may_answer(const FlowClasses& classes, const uint8_t* frame) {
    return classes.may_have(FlowClasses::source(frame + Frame::kEnds, net::kTcp));
  }

  Worker& x_worker;
  const Scanned& x_scanned;
  const uint8_t x_port_in;
  const bool x_may;
  unsigned x_evictions;  ///< that are left to the stages in this burst
  uint64_t x_left = 0;   ///< the packets for them, a bit each
  unsigned x_count = 0;
  uint64_t x_bytes = 0;
  rte_mbuf* x_packets[kBurst];
};

}  // namespace
}  // namespace shunt::dataplane
