// The table of schedulers, and the address folding that the hashing ones share.
#include "ipvs/scheduler.h"

#include <algorithm>
#include <array>

#include "base/big_endian.h"

namespace shunt::ipvs {
namespace {

constexpr std::array kSchedulers = {&kRoundRobin, &kMaglevHash};

/// Every scheduler of Linux 6.1 (net/netfilter/ipvs/Kconfig).
constexpr std::array<std::string_view, 14> kNamesOfIpvs = {
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"};

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

const Scheduler* find_scheduler(std::string_view name) {
  auto found = std::ranges::find(kSchedulers, name, [](const Scheduler* s) { return s->name; });
  return found == kSchedulers.end() ? nullptr : *found;
}

bool is_scheduler_of_ipvs(std::string_view name) {
  return std::ranges::find(kNamesOfIpvs, name) != kNamesOfIpvs.end();
}

}  // namespace shunt::ipvs
