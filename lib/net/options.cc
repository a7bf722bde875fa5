#include "net/options.h"

namespace shunt::net {
namespace {

/// Types of IPv4 options (RFC 791 section 3.1; router alert: RFC 2113; CIPSO: IANA).
constexpr uint8_t kEnd = 0, kNoOperation = 1, kRecordRoute = 7, kTimestamp = 68, kLooseRoute = 131,
                  kCipso = 134, kStrictRoute = 137, kRouterAlert = 148;
/// Flags of a timestamp option: what is recorded.
constexpr uint8_t kWithAddress = 1, kPrespecified = 3;

/// Types of IPv6 hop-by-hop options (IANA).
constexpr uint8_t kPad1 = 0x00, kPadN = 0x01, kRouterAlert6 = 0x05, kCalipso = 0x07, kIoam = 0x31,
                  kJumbo = 0xc2;
/// Options of one header at the most (net.ipv6.max_hbh_opts_number), bytes of padding in a row.
constexpr unsigned kMostOptions = 8, kMostPadding = 7;
/// Codes of ICMPv6's parameter problem (RFC 4443 section 3.4).
constexpr uint8_t kErroneousField = 0, kUnrecognizedOption = 2;

constexpr OptionsCheck kDrop{OptionsVerdict::kDropped, 0, 0};

/// What an option says of itself. `option[1]`, its length, fits and is at least 2.
struct Option4 {
  const uint8_t* bytes;
  size_t length;

  /// The place, from the option's start, of what is wrong with an option that records, whose
  /// entries begin at `first`; 0: nothing.
  size_t fault_of_record(uint8_t first) const {
    const size_t pointer = bytes[2];
    if (pointer < first) return 2;
    return pointer <= length && pointer + 3 > length ? 2 : 0;
  }
  size_t fault_of_timestamp() const {
    if (length < 4) return 1;
    if (size_t fault = fault_of_record(5)) return fault;
    const size_t pointer = bytes[2];
    const uint8_t flags = bytes[3] & 0xf;
    if (pointer <= length) {
      const bool has_address = flags == kWithAddress || flags == kPrespecified;
      return has_address && pointer + 7 > length ? 2 : 0;
    }
    return flags != kPrespecified && bytes[3] >> 4 == 15 ? 3 : 0;  // the overflow counter is full
  }
  /// Security labels, which Linux refuses where none are configured (cipso_v4_validate).
  size_t fault_of_cipso() const { return length < 8 ? 1 : 2; }
};

/// What was seen of a header's options so far.
struct Seen {
  bool source_route = false, record_route = false, timestamp = false;
};

constexpr size_t kNoFault = SIZE_MAX;

/// Where an option is wrong, from its start; kNoFault: it is not.
size_t fault_of(const Option4& option, Seen& seen) {
  size_t fault = 0;
  switch (option.bytes[0]) {
    case kLooseRoute:
    case kStrictRoute:
      if (option.length < 3) return 1;
      if (option.bytes[2] < 4) return 2;
      if (seen.source_route) return 0;
      seen.source_route = true;
      return kNoFault;
    case kRecordRoute:
      if (seen.record_route) return 0;
      if (option.length < 3) return 1;
      seen.record_route = true;
      fault = option.fault_of_record(4);
      break;
    case kTimestamp:
      if (seen.timestamp) return 0;
      seen.timestamp = true;
      fault = option.fault_of_timestamp();
      break;
    case kRouterAlert:
      fault = option.length < 4 ? 1 : 0;
      break;
    case kCipso:
      fault = option.fault_of_cipso();
      break;
    default:
      break;
  }
  return fault != 0 ? fault : kNoFault;
}

OptionsCheck answered(size_t pointer, uint8_t code = 0) {
  return {OptionsVerdict::kAnswered, code, static_cast<uint32_t>(pointer)};
}

/// A hop-by-hop option that Linux does not know says by its two highest bits what to do (RFC 8200
/// section 4.2).
OptionsCheck check_unknown(uint8_t type, size_t at) {
  switch (type >> 6) {
    case 0:
      return {};
    case 1:
      return kDrop;
    default:
      return answered(at, kUnrecognizedOption);
  }
}

/// One that is no padding, at `at` bytes from the IPv6 header's start.
OptionsCheck check_option6(const uint8_t* option, size_t at) {
  const size_t data = option[1];
  switch (option[0]) {
    case kRouterAlert6:
      return data == 2 ? OptionsCheck{} : kDrop;
    case kIoam:
      return at % 4 == 0 ? OptionsCheck{} : kDrop;
    case kCalipso:
      return kDrop;
    case kJumbo: {
      if (data != 4 || at % 4 != 2) return kDrop;
      // A jumbogram is longer than any frame, and has no payload length.
      const bool is_long = option[2] != 0 || option[3] != 0;
      return answered(is_long ? at : at + 2, kErroneousField);
    }
    default:
      return check_unknown(option[0], at);
  }
}

}  // namespace

OptionsCheck check_options(const Ipv4Header& ip) {
  const auto* header = reinterpret_cast<const uint8_t*>(&ip);
  const size_t end = ip.header_length();
  Seen seen;
  for (size_t at = sizeof ip; at < end && header[at] != kEnd;) {
    if (header[at] == kNoOperation) {
      at++;
      continue;
    }
    if (end - at < 2) return answered(at);
    const size_t length = header[at + 1];
    if (length < 2 || length > end - at) return answered(at);
    const size_t fault = fault_of({header + at, length}, seen);
    if (fault != kNoFault) return answered(at + fault);
    at += length;
  }
  if (seen.source_route) return {OptionsVerdict::kSourceRoute, 0, 0};
  return {};
}

OptionsCheck check_hop_by_hop(const Ipv6Header& ip, size_t end) {
  const auto* header = reinterpret_cast<const uint8_t*>(&ip);
  if (end < sizeof ip + 8) return kDrop;
  const size_t options_end = sizeof ip + (header[sizeof ip + 1] + size_t{1}) * 8;
  if (options_end > end) return kDrop;
  unsigned count = 0;
  size_t padding = 0;
  for (size_t at = sizeof ip + 2; at < options_end;) {
    const uint8_t* option = header + at;
    if (option[0] == kPad1) {
      if (++padding > kMostPadding) return kDrop;
      at++;
      continue;
    }
    if (options_end - at < 2) return kDrop;
    const size_t length = option[1] + size_t{2};
    if (length > options_end - at) return kDrop;
    if (option[0] == kPadN) {
      padding += length;
      if (padding > kMostPadding) return kDrop;
      for (size_t i = 2; i < length; i++)
        if (option[i] != 0) return kDrop;
    } else {
      if (++count > kMostOptions) return kDrop;
      const OptionsCheck check = check_option6(option, at);
      if (check.verdict != OptionsVerdict::kAccepted) return check;
      padding = 0;
    }
    at += length;
  }
  return {};
}

}  // namespace shunt::net
