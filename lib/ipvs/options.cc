#include "ipvs/options.h"

#include <array>
#include <optional>
#include <string>

namespace shunt::ipvs {
namespace {

using enum Option;

struct VerbRow {
  std::string_view name;
  OptionSet required;
  OptionSet allowed;    ///< besides the required ones
  OptionSet exclusive;  ///< allowed, but one of them at most
};

constexpr OptionSet kNothing;
constexpr OptionSet kServiceFields(kScheduler, kPersistent, kNetmask, kOnePacket, kEngine,
                                   kSchedFlags);
constexpr OptionSet kServerFields(kForward, kWeight, kUpperThreshold, kLowerThreshold, kTunType,
                                  kTunPort, kTunNocsum, kTunCsum, kTunRemcsum);

// In the order of Verb.
constexpr std::array<VerbRow, kVerbs> kVerbTable = {{
    {"add-service", OptionSet(kService), kServiceFields, kNothing},
    {"edit-service", OptionSet(kService), kServiceFields, kNothing},
    {"delete-service", OptionSet(kService), kNothing, kNothing},
    {"flush", kNothing, kNothing, kNothing},
    {"list", kNothing,
     OptionSet(kNumeric, kStats, kRate, kThresholds, kPersistentConn, kNoSort, kSyncId, kExact,
               kTunInfo, kJson),
     OptionSet(kConnection, kService, kTimeout, kDaemon)},
    {"add-server", OptionSet(kService, kServer), kServerFields, kNothing},
    {"delete-server", OptionSet(kService, kServer), kNothing, kNothing},
    {"edit-server", OptionSet(kService, kServer), kServerFields, kNothing},
    {"set", kNothing, kNothing, kNothing},
    {"start-daemon", kNothing,
     OptionSet(kMcastInterface, kSyncId, kMcastGroup, kMcastPort, kMcastTtl, kSyncMaxlen),
     kNothing},
    {"stop-daemon", kNothing, OptionSet(kSyncId), kNothing},
    {"restore", kNothing, OptionSet(kAtomic), kNothing},
    {"save", kNothing, OptionSet(kNumeric, kJson), kNothing},
    {"zero", kNothing, OptionSet(kService), kNothing},
    {"help", kNothing, kNothing, kNothing},
    {"version", kNothing, kNothing, kNothing},
    {"sysctl", kNothing, OptionSet(kNumeric, kJson), kNothing},
    {"sysctl", kNothing, kNothing, kNothing},
}};

// In the order of Option.
constexpr std::array<std::string_view, kOptions> kOptionNames = {{
    "numeric",
    "connection",
    "service-address",
    "scheduler",
    "persistent",
    "netmask",
    "real-server",
    "forwarding-method",
    "weight",
    "u-threshold",
    "l-threshold",
    "mcast-interface",
    "timeout",
    "daemon",
    "stats",
    "rate",
    "thresholds",
    "persistent-conn",
    "nosort",
    "syncid",
    "exact",
    "ops",
    "pe",
    "sched-flags",
    "mcast-group",
    "mcast-port",
    "mcast-ttl",
    "sync-maxlen",
    "tun-info",
    "tun-type",
    "tun-port",
    "tun-nocsum",
    "tun-csum",
    "tun-remcsum",
    "json",
    "atomic",
}};

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

}  // namespace

std::string_view name(Verb verb) {
  return kVerbTable[static_cast<int>(verb)].name;
}
std::string_view name(Option option) {
  return kOptionNames[static_cast<int>(option)];
}

Result<void> check_options(Verb verb, OptionSet given) {
  const VerbRow& row = kVerbTable[static_cast<int>(verb)];
  const std::string command = quoted(row.name) + " command";
  std::optional<Option> chosen;
  for (int i = 0; i < kOptions; i++) {
    auto option = static_cast<Option>(i);
    if (!given.has(option)) {
      if (row.required.has(option))
        return Error{
            "You need to supply the " + quoted(name(option)) + " option for the " + command, 2};
    } else if (row.exclusive.has(option)) {
      if (chosen)
        return Error{"The option " + quoted(name(option)) + " conflicts with the " +
                         quoted(name(*chosen)) + " option in the " + command,
                     2};
      chosen = option;
    } else if (!row.required.has(option) && !row.allowed.has(option)) {
      return Error{"Illegal " + quoted(name(option)) + " option with the " + command, 2};
    }
  }
  return {};
}

}  // namespace shunt::ipvs
