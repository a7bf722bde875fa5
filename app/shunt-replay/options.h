// shunt-replay's command line.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "ipvs/full_policy.h"
#include "ipvs/knobs.h"
#include "ipvs/marks.h"
#include "ipvs/mss_clamp.h"
#include "ipvs/scheduler.h"

namespace shunt::replay {

struct Options {
  std::vector<std::string> eal;  ///< what stood before "--"
  std::string rules, read, write, write_kernel;
  bool json = false, explain = false, loop_fresh = false, help = false;
  uint64_t loop = 1;
  uint32_t seed = 0, mtu = 1500, sessions = 65536;
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
  bool no_express = false;
  ipvs::SchedulerSettings schedulers;
  std::optional<MacAddress> mac;  ///< only frames to it are ours; none: every unicast frame
  std::map<Address, MacAddress> neighbours;
  /// The director's own addresses; the first of a family is where tunnels' packets come from.
  std::vector<Address> locals;
  struct At {
    double seconds;
    std::string file;
  };
  std::vector<At> at;  ///< sorted by time
  ipvs::Knobs knobs;
  ipvs::MarkTable marks;
  ipvs::MssClamps mss_clamps;
  std::vector<std::string> list;  ///< commands of shuntadm to answer at the end
};

/// Errors carry status 2.
Result<Options> parse_options(int argc, char** argv);
std::string usage();

}  // namespace shunt::replay
