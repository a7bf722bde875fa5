// Rules that say how long the TCP segments of a service may be: a line of the conf file, or an
// option of shunt-replay.
//
//   SERVICE SIZE|auto        SERVICE: tcp ADDRESS:PORT, tcp [ADDRESS]:PORT, fwmark MARK
//
// SIZE is bytes of a segment's data; auto: what a packet on its way to the server has room for.
// Owner: the board, which has the rules before workers start; they do not change. Control asks them
// for the size of each service that it publishes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipvs/service.h"

namespace shunt::ipvs {

struct MssClamp {
  static constexpr uint16_t kNone = 0, kAuto = UINT16_MAX;
  /// Linux sends no shorter segments (net.ipv4.tcp_min_snd_mss); no packet has room for longer
  /// ones.
  static constexpr uint16_t kLeast = 48, kMost = 65495;

  ServiceKey service;     ///< of a mark service, fwmark alone counts: both families'
  uint16_t size = kNone;  ///< bytes, or kAuto
  friend bool operator==(const MssClamp&, const MssClamp&) = default;
};

/// Reads a rule as above. Errors are sentences.
Result<MssClamp> parse_mss_clamp(const std::string& text);

class MssClamps {
 public:
  /// False: this service has one already.
  bool add(const MssClamp& clamp);
  bool empty() const { return x_clamps.empty(); }
  /// Bytes, MssClamp::kAuto or MssClamp::kNone.
  uint16_t size_of(const ServiceKey& service) const;

 private:
  std::vector<MssClamp> x_clamps;
};

}  // namespace shunt::ipvs
