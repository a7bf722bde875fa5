// The table of schedulers, and the address folding that the hashing ones share.
#include "ipvs/scheduler.h"

#include <algorithm>
#include <array>

#include "base/big_endian.h"

namespace shunt::ipvs {
namespace {

constexpr std::array kSchedulers = {&kRoundRobin,
                                    &kWeightedRoundRobin,
                                    &kLeastConnection,
                                    &kWeightedLeastConnection,
                                    &kLocality,
                                    &kReplicatedLocality,
                                    &kDestinationHash,
                                    &kSourceHash,
                                    &kShortestExpectedDelay,
                                    &kNeverQueue,
                                    &kFailOver,
                                    &kOverflow,
                                    &kMaglevHash,
                                    &kTwoChoices,
                                    &kMaglev,
                                    &kNoScheduler};

uint32_t word(const uint8_t* bytes) {
  be32 value;
  std::memcpy(&value, bytes, sizeof value);
  return value.host();
}

}  // namespace

uint32_t fold(const Ipv4& address) {
  return word(address.bytes.data());
}

uint32_t fold(const Ipv6& address) {
  const uint8_t* p = address.bytes.data();
  return word(p) ^ word(p + 4) ^ word(p + 8) ^ word(p + 12);
}

Result<void> build_no_table(Service& service, const SchedulerSettings&) {
  service.table.clear();
  return {};
}

const Scheduler* find_scheduler(std::string_view name) {
  auto found = std::ranges::find(kSchedulers, name, [](const Scheduler* s) { return s->name; });
  return found == kSchedulers.end() ? nullptr : *found;
}

}  // namespace shunt::ipvs
