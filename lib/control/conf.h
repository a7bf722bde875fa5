// What shuntd is told to be: its command line and its conf file, read into one struct.
//
// Invariant: a Conf that was handed out is whole and consistent in itself; whether the machine can
// do it (interfaces, memory, privilege) is asked later. Command line before file, option by option;
// lists (port, masquerade, mark,
// mss-clamp) add up. Called by shuntd's main, once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "ipvs/full_policy.h"
#include "ipvs/knobs.h"
#include "ipvs/marks.h"
#include "ipvs/mss_clamp.h"
#include "ipvs/scheduler.h"

namespace shunt::control {

inline constexpr const char* kDefaultConf = "/etc/shunt/shunt.conf";
inline constexpr const char* kDefaultSocket = "/run/shunt/shunt.sock";

/// `port = [NAME] DEVICE`: DEVICE is a PCI address or a vdev ("net_…"), each with its devargs, or
/// the name of a kernel interface.
struct PortConf {
  enum Kind : uint8_t { kPci, kVdev, kInterface };
  std::string name;
  std::string device;  ///< as written
  Kind kind = kVdev;
  std::string twin;  ///< "sh-" and the name, unless `twin = NAME TWIN`

  /// The kernel interface whose frames the port takes by packet sockets, which so has to be made
  /// deaf; empty: none.
  std::string interface() const;
  /// What EAL is to probe. Of a kernel interface: net_af_packet with a ring that does not lose a
  /// burst (the default of 512 frames does) and a queue pair for each worker, up to
  /// share::kMaxPacketQueues.
  std::string devargs(unsigned workers) const;
  /// How many queues it will have at the most, as far as can be said before the device is asked.
  unsigned queues(unsigned workers) const;
};

enum class Idle : uint8_t { kSpin, kYield, kSleep };  ///< what a worker does on an empty poll

struct PortRange {
  uint16_t first = 0, last = 0;  ///< both included
  bool operator==(const PortRange&) const = default;
};

struct Conf {
  std::string conf = kDefaultConf;
  std::string rules;  ///< empty: none
  std::string socket = kDefaultSocket;
  std::string ipvs_socket;     ///< empty: beside the control socket
  uint32_t proc_interval = 5;  ///< seconds between rounds of files of /proc; 0: none
  std::string journal;         ///< directory; empty: off
  bool interactive = false;    ///< -i
  bool check = false;          ///< --check
  bool help = false, version = false;

  std::vector<PortConf> ports;
  unsigned workers = 1;
  Idle idle = Idle::kSpin;
  uint64_t sessions = 1'048'576;  ///< all workers together
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
  std::vector<std::string> masquerade;      ///< names of ports
  std::vector<Address> masquerade_sources;  ///< at most one of each family
  PortRange masquerade_ports{10000, 32767};
  std::vector<ipvs::MarkRule> marks;   ///< the first that matches counts, the file's before others
  ipvs::MssClamps mss_clamps;          ///< one at most for each service
  ipvs::Knobs knobs;                   ///< sysctl = NAME=VALUE, once for each
  uint64_t kernel_rate = 20'000;       ///< packets a second handed to the kernel; 0: no limit
  ipvs::SchedulerSettings schedulers;  ///< workers included
  std::vector<std::string> eal;        ///< EAL's options, the program's name not included
};

/// Reads the command line `[EAL options] -- [options]` (without "--" all are ours) and the conf
/// file it names; a missing default conf file is an empty one. Errors of the file are
/// "FILE:LINE: sentence"; every error has status 2.
Result<Conf> parse_conf(int argc, const char* const* argv);

/// Where the service manager wants state to be ($STATE_DIRECTORY of systemd.exec(5)), the default
/// of `journal`; empty without one.
std::string state_directory();

/// The lines that --help prints.
std::string conf_usage();

/// Masquerade's ports must not be the kernel's own (`net.ipv4.ip_local_port_range`, IPv6's too):
/// its replies would be taken for ours. Asked at start, if anything is masqueraded.
Result<void> check_masquerade_ports(const PortRange& ours, const PortRange& kernels);
/// What the kernel has now.
Result<PortRange> kernel_port_range();

}  // namespace shunt::control
