#include "ipvs/option_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace shunt::ipvs {
namespace {

struct SchedFlagRow {
  const char* text;
  uint32_t flag;
  const char* scheduler;  ///< the only one it fits, or null
};
constexpr SchedFlagRow kSchedFlagTable[] = {
    {"flag-1", kSchedFlag1, nullptr}, {"flag-2", kSchedFlag2, nullptr},
    {"flag-3", kSchedFlag3, nullptr}, {"sh-fallback", kSchedFlag1, "sh"},
    {"sh-port", kSchedFlag2, "sh"},   {"mh-fallback", kSchedFlag1, "mh"},
    {"mh-port", kSchedFlag2, "mh"},
};

}  // namespace

Error usage_error(std::string message) {
  return {std::move(message), 2};
}

std::optional<long> parse_number(const std::string& text, long least, long most) {
  char* end = nullptr;
  errno = 0;
  long number = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || *end != '\0' || errno == ERANGE) return std::nullopt;
  if (number < least || number > most) return std::nullopt;
  return number;
}

std::optional<Ipv4> parse_host(const std::string& text, const Names& names) {
  in_addr address;
  if (inet_aton(text.c_str(), &address) == 0) return names.address(text);
  Ipv4 result;
  std::memcpy(result.bytes.data(), &address, 4);
  return result;
}

std::optional<Place> parse_place(std::string text, uint8_t protocol, const Names& names) {
  if (text.find_first_not_of("0123456789") == text.npos) return std::nullopt;
  std::optional<std::string> port;
  if (text[0] == '[') {
    size_t close = text.find(']');
    if (close == text.npos || text.substr(close + 1, 1) != ":") return std::nullopt;
    port = text.substr(close + 2);
    text = text.substr(1, close - 1);
  }
  Place place;
  Ipv6 v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    place.endpoint.address = v6;
  } else {
    port.reset();  // ipvsadm takes the port of an IPv4 address from within the brackets
    if (size_t colon = text.rfind(':'); colon != text.npos) {
      port = text.substr(colon + 1);
      text.resize(colon);
    }
    auto v4 = parse_host(text, names);
    if (!v4) return std::nullopt;
    place.endpoint.address = *v4;
  }
  if (port) {
    place.has_port = true;
    if (auto number = parse_number(*port, 0, 65535))
      place.endpoint.port = static_cast<uint16_t>(*number);
    else if (auto named = names.port(*port, protocol))
      place.endpoint.port = *named;
    else
      return std::nullopt;
  }
  return place;
}

std::optional<uint32_t> parse_mask(const std::string& text, const Names& names) {
  auto mask = parse_host(text, names);
  if (!mask) return std::nullopt;
  uint32_t word;
  std::memcpy(&word, mask->bytes.data(), 4);
  return ntohl(word);
}

std::optional<Address> parse_group(const std::string& text) {
  auto address = parse_address(text);
  if (!address) return std::nullopt;
  uint8_t first = address->bytes[0];
  bool multicast = address->is_v4() ? (first & 0xf0) == 0xe0 : first == 0xff;
  return multicast ? address : std::nullopt;
}

Result<uint32_t> parse_sched_flags(const std::string& text, const std::string& scheduler) {
  uint32_t flags = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    const SchedFlagRow* row = nullptr;
    for (const SchedFlagRow& candidate : kSchedFlagTable)
      if (word == candidate.text) row = &candidate;
    if (!row) return usage_error("invalid scheduler flag `" + word + "'");
    if (row->scheduler && scheduler != row->scheduler)
      return usage_error("incompatible scheduler flag `" + word + "'");
    flags |= row->flag;
  }
  return flags;
}

}  // namespace shunt::ipvs
