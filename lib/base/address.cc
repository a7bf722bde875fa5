#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace shunt {

std::optional<Address> parse_address(std::string_view text) {
  std::string copy(text);
  Ipv4 v4;
  Ipv6 v6;
  if (inet_pton(AF_INET, copy.c_str(), &v4) == 1) return Address(v4);
  if (inet_pton(AF_INET6, copy.c_str(), &v6) == 1) return Address(v6);
  return std::nullopt;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  size_t slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == text.npos) return Prefix{*address, static_cast<uint8_t>(address->bits())};
  std::string_view digits = text.substr(slash + 1);
  int length = -1;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (length < 0 || length > address->bits()) return std::nullopt;
  return Prefix{*address, static_cast<uint8_t>(length)};
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (size_t i = 0; i < 6; i++) {
    const char* group = text.data() + i * 3;
    auto [end, error] = std::from_chars(group, group + 2, mac.bytes[i], 16);
    if (error != std::errc() || end != group + 2) return std::nullopt;
    if (i < 5 && group[2] != ':') return std::nullopt;
  }
  return mac;
}

bool Prefix::contains(const Address& other) const {
  if (other.family != address.family) return false;
  size_t whole = length / 8;
  if (std::memcmp(address.bytes.data(), other.bytes.data(), whole) != 0) return false;
  int rest = length % 8;
  if (rest == 0) return true;
  return ((address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest)) == 0;
}

std::string to_string(const Ipv4& address) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address, text, sizeof text);
}

std::string to_string(const Ipv6& address) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, &address, text, sizeof text);
}

std::string to_string(const Address& address) {
  return address.is_v4() ? to_string(address.v4()) : to_string(address.v6());
}

std::string to_string(const Endpoint& endpoint) {
  std::string host = to_string(endpoint.address);
  if (!endpoint.address.is_v4()) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port);
}

std::string to_string(const Prefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

std::string to_string(const MacAddress& mac) {
  char text[18];
  const auto& b = mac.bytes;
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
                b[5]);
  return text;
}

}  // namespace shunt
