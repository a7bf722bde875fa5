// The defenses of a full balancer: drop_packet, drop_entry and secure_tcp, as the kernel has them
// (update_defense_level, ip_vs_ctl.c), with a worker's own sessions in the place of memory.
//
// Pressure is when a session table has room for less than 16 sessions for each page of amemthresh,
// and has 7/8 of its room taken. Owner: the worker, which calls follow() every turn.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/session.h"
#include "share/board.h"

namespace shunt::dataplane {

/// How full a session table is.
struct Fill {
  uint32_t size = 0, capacity = 0;
};

class Defense {
 public:
  static constexpr Nanoseconds kPeriod = 1'000'000'000;
  static constexpr uint32_t kSessionsPerPage = 16;
  /// drop_entry looks at one of so many sessions each period.
  static constexpr uint32_t kShare = 32;
  /// Periods that a jump of time may count for.
  static constexpr uint64_t kMostPeriods = 64;

  /// Nothing but three loads while all is off.
  void follow(const share::SharedKnobs& knobs, Fill v4, Fill v6, Nanoseconds now) {
    using ipvs::Knob;
    const int32_t packet = knobs.of(Knob::kDropPacket), entry = knobs.of(Knob::kDropEntry),
                  tcp = knobs.of(Knob::kSecureTcp);
    if (packet + entry + tcp == 0) {
      x_rate = 0;
      x_secure = x_end_sessions = false;
      x_left[0] = x_left[1] = 0;
      x_period = now / kPeriod;
      return;
    }
    const int64_t rate = std::min(pressure(knobs, v4), pressure(knobs, v6));
    const bool pressed = rate != kNoPressure;
    auto on = [pressed](int32_t mode) { return mode == 3 || (mode != 0 && pressed); };
    x_secure = on(tcp);
    x_end_sessions = on(entry);
    const bool new_period = now / kPeriod != x_period;
    if (packet == 3) {
      x_rate = knobs.of(Knob::kAmDroprate);
    } else if (!on(packet)) {
      x_rate = 0;
    } else if (new_period || x_rate == 0) {
      x_rate = x_counter = rate;
    }
    if (new_period) {
      const uint64_t periods = std::min(now / kPeriod - x_period, kMostPeriods);
      x_period = now / kPeriod;
      x_left[0] += look_at(v4, periods);
      x_left[1] += look_at(v6, periods);
    }
    if (!x_end_sessions) x_left[0] = x_left[1] = 0;
  }

  /// To be asked for each packet that would begin a session.
  bool drops_packet() {
    if (x_rate <= 0 || --x_counter > 0) return false;
    x_counter = x_rate;
    return true;
  }
  /// Does it drop any now?
  bool drops_packets() const { return x_rate > 0; }
  bool secures_tcp() const { return x_secure; }

  /// How many sessions of that family are to be looked at now, `most` at the most; they count as
  /// looked at.
  uint32_t take(Family family, uint32_t most) {
    uint64_t& left = x_left[family == Family::kV6];
    const auto n = static_cast<uint32_t>(std::min<uint64_t>(left, most));
    left -= n;
    return n;
  }

 private:
  static constexpr int64_t kNoPressure = INT64_MAX;

  /// One of how many first packets is to be dropped.
  static int64_t pressure(const share::SharedKnobs& knobs, Fill fill) {
    const int64_t least = std::min<int64_t>(
        int64_t{knobs.of(ipvs::Knob::kAmemthresh)} * kSessionsPerPage, fill.capacity / 8);
    const int64_t room = fill.capacity - fill.size;
    return room < least ? least / (least - room) : kNoPressure;
  }

  static uint64_t look_at(Fill fill, uint64_t periods) {
    return (uint64_t{fill.capacity} + kShare - 1) / kShare * periods;
  }

  int64_t x_rate = 0, x_counter = 0;
  bool x_secure = false, x_end_sessions = false;
  uint64_t x_period = 0;
  uint64_t x_left[2] = {0, 0};  // v4, v6
};

/// Which sessions drop_entry ends, idle ones by how few packets they had (todrop_entry,
/// ip_vs_conn.c): of those with 1 packet each, with 2 every second one, ..., with 8 every eighth.
class IdleChoice {
 public:
  static constexpr uint8_t kMostPackets = 8;
  bool drops(uint8_t packets) {
    if (packets == 0 || packets > kMostPackets) return false;
    if (--x_counters[packets] > 0) return false;
    x_counters[packets] = static_cast<int8_t>(packets);
    return true;
  }

 private:
  int8_t x_counters[kMostPackets + 1] = {};
};

}  // namespace shunt::dataplane
