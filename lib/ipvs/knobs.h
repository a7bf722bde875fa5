// The kernel's knobs: the sysctls of /proc/sys/net/ipv4/vs with their names and defaults, and what
// each means here, or why it cannot mean anything.
//
// One table. A Knobs is a plain value of the configuration, as Timeouts is; the board carries it to
// the workers (SharedKnobs). Callers: Configuration, the language, conf, shunt-replay.
#pragma once

#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace shunt::ipvs {

/// Every sysctl that has a meaning here, then those that have none. Alphabetical, as sysctl(8) is.
enum class Knob : uint8_t {
  kAmDroprate,
  kAmemthresh,
  kCacheBypass,
  kConnReuseMode,
  kDropEntry,
  kDropPacket,
  kExpireNodestConn,
  kExpireQuiescentTemplate,
  kLblcExpiration,
  kLblcrExpiration,
  kNatIcmpSend,
  kPmtuDisc,
  kRunEstimation,
  kScheduleIcmp,
  kSecureTcp,
  kSloppySctp,
  kSloppyTcp,
};
inline constexpr int kKnobs = static_cast<int>(Knob::kSloppyTcp) + 1;

struct KnobRow {
  std::string_view name;
  int32_t initial;
  int32_t least, most;
  std::string_view about;       ///< what it does here, a line
  std::string_view fixed = {};  ///< why it can have one value only
};

// In the order of Knob. Defaults and ranges are those of Linux 6.1 (ip_vs_ctl.c).
inline constexpr std::array<KnobRow, kKnobs> kKnobTable = {{
    {"am_droprate", 10, INT_MIN, INT_MAX,
     "drop_packet = 3 drops one of so many packets that would begin a session; below 1: none"},
    {"amemthresh", 1024, INT_MIN, INT_MAX,
     "pressure is when a worker has room for less than 16 times so many sessions (a page of the "
     "kernel's memory holds 16), but never before 7/8 of its room are taken"},
    {"cache_bypass", 0, 0, 0,
     "a packet of a mark service without a usable server goes on to its own destination",
     "only packets to local addresses are balanced, and it is about others, so it stays 0"},
    {"conn_reuse_mode", 1, INT_MIN, INT_MAX,
     "may a SYN begin a new session on the ports of one in TIME_WAIT or CLOSE; bit 2: and in "
     "FIN_WAIT without answers seen; 0: never"},
    {"drop_entry", 0, 0, 3,
     "end half-open and idle sessions at random, every second: 0 never, 1 and 2 under pressure, "
     "3 always"},
    {"drop_packet", 0, 0, 3,
     "drop first packets: 0 never, 1 and 2 under pressure, 3 one of am_droprate always"},
    {"expire_nodest_conn", 0, INT_MIN, INT_MAX,
     "sessions of a removed server end at once instead of running out; a SYN on one of a server "
     "with weight 0 begins a new one"},
    {"expire_quiescent_template", 0, INT_MIN, INT_MAX,
     "a persistence template does not lead new sessions to a server with weight 0"},
    {"lblc_expiration", 86400, INT_MIN, INT_MAX,
     "seconds after which lblc forgets a destination that is not used"},
    {"lblcr_expiration", 86400, INT_MIN, INT_MAX,
     "seconds after which lblcr forgets a destination that is not used"},
    {"nat_icmp_send", 0, INT_MIN, INT_MAX,
     "a real server's packet without a session is answered with ICMP port unreachable"},
    {"pmtu_disc", 1, INT_MIN, INT_MAX,
     "outer packets of a tunnel may not be fragmented where the inner one may not; 0: they always "
     "may"},
    {"run_estimation", 1, INT_MIN, INT_MAX, "compute the averages of --rate"},
    {"schedule_icmp", 0, INT_MIN, INT_MAX,
     "an ICMP error about an unknown flow of a service goes to a server the scheduler picks"},
    {"secure_tcp", 0, 0, 3,
     "stricter TCP states, in which a client alone establishes nothing through masquerading: 0 "
     "never, 1 and 2 under pressure, 3 always"},
    {"sloppy_sctp", 0, INT_MIN, INT_MAX, "any SCTP packet but ABORT may begin a session"},
    {"sloppy_tcp", 0, INT_MIN, INT_MAX, "any TCP packet but RST may begin a session"},
}};

/// A sysctl of the kernel that means nothing here.
struct ForeignKnobRow {
  std::string_view name;
  std::string_view reason;
};
inline constexpr ForeignKnobRow kForeignKnobTable[] = {
    {"backup_only", "there is no connection synchronization yet, so no backup"},
    {"conntrack", "balanced packets do not pass through Linux and its connection tracking"},
    {"debug_level", "it turns on debug messages of the kernel's own code"},
    {"ignore_tunneled",
     "packets of other protocols go to Linux and never come back to be balanced"},
    {"snat_reroute", "answers are always routed by the addresses they leave with"},
    {"sync_persist_mode", "there is no connection synchronization yet"},
    {"sync_ports", "there is no connection synchronization yet"},
    {"sync_qlen_max", "there is no connection synchronization yet"},
    {"sync_refresh_period", "there is no connection synchronization yet"},
    {"sync_retries", "there is no connection synchronization yet"},
    {"sync_sock_size", "there is no connection synchronization yet"},
    {"sync_threshold", "there is no connection synchronization yet"},
    {"sync_version", "there is no connection synchronization yet"},
};

/// The values of all knobs.
class Knobs {
 public:
  constexpr Knobs() {
    for (int i = 0; i < kKnobs; i++) x_values[i] = kKnobTable[i].initial;
  }
  constexpr int32_t of(Knob knob) const { return x_values[static_cast<int>(knob)]; }
  constexpr void set(Knob knob, int32_t value) { x_values[static_cast<int>(knob)] = value; }
  friend constexpr bool operator==(const Knobs&, const Knobs&) = default;

 private:
  std::array<int32_t, kKnobs> x_values{};
};

/// The kernel's knobs (writer: control; `--sysctl`).
class SharedKnobs {
 public:
  SharedKnobs() { set(Knobs{}); }
  void set(const Knobs& knobs) {
    for (int i = 0; i < kKnobs; i++)
      x_values[i].store(knobs.of(static_cast<Knob>(i)), std::memory_order_relaxed);
  }
  int32_t of(Knob knob) const {
    return x_values[static_cast<int>(knob)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<int32_t>, kKnobs> x_values{};
};

struct KnobSetting {
  Knob knob;
  int32_t value;
  friend bool operator==(const KnobSetting&, const KnobSetting&) = default;
};

constexpr const KnobRow& row(Knob knob) {
  return kKnobTable[static_cast<int>(knob)];
}

/// "conn_reuse_mode", "net.ipv4.vs.conn_reuse_mode" or "net/ipv4/vs/conn_reuse_mode". An error
/// (status 255) says that there is no such knob, or why it means nothing here.
Result<Knob> parse_knob(std::string_view name);
/// "NAME=VALUE" or "NAME = VALUE". An error besides those above: the value is none, or out of
/// range.
Result<KnobSetting> parse_knob_setting(std::string_view text);

/// "net.ipv4.vs.conn_reuse_mode = 1", as sysctl(8) prints it, without a newline.
std::string knob_text(Knob knob, int32_t value);
/// "--sysctl NAME=VALUE" for each knob that is not at its default, a line each.
std::string knob_rules(const Knobs& knobs);

}  // namespace shunt::ipvs
