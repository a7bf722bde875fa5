// The packets of a burst that are refused at once (refuse.h), in the swift lane's own compilation.
#pragma once

#include "dataplane/burst_scan.h"
#include "dataplane/refuse.h"

namespace shunt::dataplane {
namespace {

class Refusals {
 public:
  Refusals(Worker& worker, uint8_t port_in, const Scanned& scanned)
      : x_worker(worker),
        x_index(worker.sessions_v4->index()),
        x_scanned(scanned),
        x_port_in(port_in),
        x_may(worker.was_full<net::V4>() && may_refuse(worker)),
        x_evictions(worker.settings.full == ipvs::FullPolicy::kEvict ? worker.evictions_left : 0) {
    if (x_may) std::memset(x_refuse_all, 0, sizeof x_refuse_all);
  }

  bool may() const { return x_may; }

  /// Takes those of these packets that are refused, and returns them, a bit each.
  uint64_t take(const Burst& burst, uint64_t packets) {
    // None of this changes meanwhile.
    const bool has_stashed = x_index.lines().stashed() != 0,
               has_sources = x_index.classes().has_sources();
    uint64_t taken = 0;
    for (uint64_t left = packets; left != 0; left &= left - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(left));
      fetch_near(reinterpret_cast<const void*>(x_scanned.lines[i + kNearAhead]));
      if (!is_refused_at_once(i, has_stashed, has_sources)) continue;
      if (may_evict(i)) continue;
      x_packets[x_count++] = burst.packets[i];
      taken |= uint64_t{1} << i;
    }
    return taken;
  }

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
  [[gnu::always_inline]] bool is_refused_at_once(size_t i, bool has_stashed, bool has_sources) {
    const uint8_t* frame = x_scanned.frames[i];
    using Tcp = net::TcpHeader;
    constexpr size_t kFlags = Frame::kL4 + offsetof(Tcp, flags);
    if (frame[Frame::kProtocol] != net::kTcp ||
        (frame[kFlags] & (Tcp::kSyn | Tcp::kRst)) != Tcp::kSyn ||
        (x_scanned.keys[i] != 0 && has_word(i)))
      return false;
    const uint64_t destination = x_scanned.destinations[i];
    uint64_t& remembered = x_refuse_all[(destination >> 8 ^ destination >> 40) % kRemembered];
    if (remembered != destination || may_be_special(frame, has_stashed, has_sources)) [[unlikely]] {
      bool for_all = false;
      if (!is_refused(x_worker, frame, x_port_in, for_all)) return false;
      if (for_all) remembered = destination;
    }
    return true;
  }
  [[gnu::always_inline]] bool has_word(size_t i) const {
    auto* home = reinterpret_cast<Line*>(x_scanned.lines[i]);
    return x_index.lines().first_word(home, x_scanned.keys[i] >> 1) != nullptr;
  }
  /// From FTP's data port, or perhaps from a server's endpoint or in the stash.
  [[gnu::always_inline]] bool may_be_special(const uint8_t* frame, bool has_stashed,
                                             bool has_sources) const {
    const uint16_t ftp_data = be16(ipvs::kFtpDataPort).raw();
    if (load<uint16_t>(frame + Frame::kL4) == ftp_data || has_stashed) return true;
    if (!has_sources) return false;
    const uint64_t source = FlowClasses::source(frame + Frame::kEnds, net::kTcp);
    return x_index.classes().may_have(source);
  }

  static constexpr unsigned kRemembered = 8;
  Worker& x_worker;
  const TupleIndex<net::V4>& x_index;
  const Scanned& x_scanned;
  const uint8_t x_port_in;
  const bool x_may;
  unsigned x_evictions;  ///< that are left to the stages in this burst
  uint64_t x_left = 0;   ///< the packets for them, a bit each
  unsigned x_count = 0;
  rte_mbuf* x_packets[kBurst];
  /// Destinations, as FlowClasses tells them, to which all are refused whose source is nothing
  /// special.
  uint64_t x_refuse_all[kRemembered];
};

}  // namespace
}  // namespace shunt::dataplane
