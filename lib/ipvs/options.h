// ipvsadm's verbs and options, and which belong together: one table.
//
// Names, order and rules are what ipvsadm 1.31 was seen to answer; the order decides which of two
// mistakes is reported. Caller: parse_command().
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace shunt::ipvs {

enum class Verb : uint8_t {
  kAddService,
  kEditService,
  kDeleteService,
  kClear,
  kList,
  kAddServer,
  kDeleteServer,
  kEditServer,
  kSetTimeouts,
  kStartDaemon,
  kStopDaemon,
  kRestore,
  kSave,
  kZero,
  kHelp,
  kVersion,
  kShowKnobs,  ///< --sysctl [NAME], ours
  kSetKnob,    ///< --sysctl NAME=VALUE, ours
};
inline constexpr int kVerbs = static_cast<int>(Verb::kSetKnob) + 1;

enum class Option : uint8_t {
  kNumeric,
  kConnection,
  kService,  ///< -t, -u, --sctp-service or -f
  kScheduler,
  kPersistent,
  kNetmask,
  kServer,
  kForward,  ///< -g, -i or -m
  kWeight,
  kUpperThreshold,
  kLowerThreshold,
  kMcastInterface,
  kTimeout,
  kDaemon,
  kStats,
  kRate,
  kThresholds,
  kPersistentConn,
  kNoSort,
  kSyncId,
  kExact,
  kOnePacket,
  kEngine,
  kSchedFlags,
  kMcastGroup,
  kMcastPort,
  kMcastTtl,
  kSyncMaxlen,
  kTunInfo,
  kTunType,
  kTunPort,
  kTunNocsum,
  kTunCsum,
  kTunRemcsum,
  kJson,    ///< ours, not ipvsadm's
  kAtomic,  ///< ours, not ipvsadm's
};
inline constexpr int kOptions = static_cast<int>(Option::kAtomic) + 1;

/// A set of options.
class OptionSet {
 public:
  constexpr OptionSet() = default;
  template <class... O>
  constexpr explicit OptionSet(O... options) : x_bits((uint64_t{0} | ... | bit(options))) {}
  constexpr bool has(Option option) const { return (x_bits & bit(option)) != 0; }
  constexpr bool has_any(OptionSet other) const { return (x_bits & other.x_bits) != 0; }
  constexpr void add(Option option) { x_bits |= bit(option); }
  friend constexpr bool operator==(OptionSet, OptionSet) = default;

 private:
  static constexpr uint64_t bit(Option option) { return uint64_t{1} << static_cast<int>(option); }
  uint64_t x_bits = 0;
};

/// "add-service", "scheduler": the words of ipvsadm's messages.
std::string_view name(Verb verb);
std::string_view name(Option option);

/// Are these options complete and allowed with that verb? If not, ipvsadm's sentence, status 2.
Result<void> check_options(Verb verb, OptionSet given);

}  // namespace shunt::ipvs
