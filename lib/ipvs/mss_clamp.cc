#include "ipvs/mss_clamp.h"

#include <charconv>
#include <optional>
#include <sstream>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// The whole of `text` as a number from `least` to `most`.
std::optional<uint32_t> number(std::string_view text, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return std::nullopt;
  return value;
}

/// ADDRESS:PORT, an IPv6 address in brackets; port 0: every port.
std::optional<Endpoint> endpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  auto port = number(text.substr(colon + 1), 0, UINT16_MAX);
  text = text.substr(0, colon);
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  auto address = parse_address(bracketed ? text.substr(1, text.size() - 2) : text);
  if (!port || !address || bracketed == address->is_v4()) return std::nullopt;
  return Endpoint{*address, static_cast<uint16_t>(*port)};
}

Result<ServiceKey> service(const std::string& kind, const std::string& name) {
  ServiceKey key;
  if (kind == "tcp") {
    auto found = endpoint(name);
    if (!found)
      return Error{"'" + name +
                   "' is not ADDRESS:PORT, such as 198.51.100.1:80 or [2001:db8::1]:80"};
    key.protocol = net::kTcp;
    key.endpoint = *found;
    return key;
  }
  if (kind != "fwmark") return Error{"'" + kind + "' is neither tcp nor fwmark"};
  auto mark = number(name, 1, UINT32_MAX);
  if (!mark) return Error{"'" + name + "' is not a mark: a number from 1 to 4294967295"};
  key.fwmark = *mark;
  return key;
}

bool is_same(const ServiceKey& rule, const ServiceKey& key) {
  return rule.fwmark ? rule.fwmark == key.fwmark : rule == key;
}

}  // namespace

Result<MssClamp> parse_mss_clamp(const std::string& text) {
  std::istringstream words(text);
  std::string kind, name, size, more;
  if (!(words >> kind >> name >> size) || words >> more)
    return Error{"a service and a size are wanted, such as `tcp 198.51.100.1:80 1400`"};
  auto key = service(kind, name);
  if (!key) return key.error();
  if (size == "auto") return MssClamp{*key, MssClamp::kAuto};
  auto bytes = number(size, MssClamp::kLeast, MssClamp::kMost);
  if (!bytes)
    return Error{"'" + size + "' is neither auto nor a number of bytes from " +
                 std::to_string(MssClamp::kLeast) + " to " + std::to_string(MssClamp::kMost)};
  return MssClamp{*key, static_cast<uint16_t>(*bytes)};
}

bool MssClamps::add(const MssClamp& clamp) {
  for (const MssClamp& other : x_clamps)
    if (is_same(other.service, clamp.service)) return false;
  x_clamps.push_back(clamp);
  return true;
}

uint16_t MssClamps::size_of(const ServiceKey& service) const {
  for (const MssClamp& clamp : x_clamps)
    if (is_same(clamp.service, service)) return clamp.size;
  return MssClamp::kNone;
}

}  // namespace shunt::ipvs
