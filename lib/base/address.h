// Addresses as they are on the wire (Ipv4, Ipv6, MacAddress), and the ones that may be of either
// family (Address, Endpoint, Prefix), with their text forms.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace shunt {

enum class Family : uint8_t { kV4 = 4, kV6 = 6 };

/// 4 bytes in network order, alignment 1.
struct Ipv4 {
  std::array<uint8_t, 4> bytes;
  friend auto operator<=>(const Ipv4&, const Ipv4&) = default;
};

/// 16 bytes in network order, alignment 1.
struct Ipv6 {
  std::array<uint8_t, 16> bytes;
  friend auto operator<=>(const Ipv6&, const Ipv6&) = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes;
  bool is_multicast() const { return bytes[0] & 1; }  ///< group bit, broadcast included
  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

/// An address of either family. IPv4 lies in the first four bytes, the rest is zero.
struct Address {
  Family family = Family::kV4;
  std::array<uint8_t, 16> bytes{};

  Address() = default;
  Address(const Ipv4& a) : family(Family::kV4) { std::memcpy(bytes.data(), a.bytes.data(), 4); }
  Address(const Ipv6& a) : family(Family::kV6), bytes(a.bytes) {}

  bool is_v4() const { return family == Family::kV4; }
  Ipv4 v4() const {
    Ipv4 a;
    std::memcpy(a.bytes.data(), bytes.data(), 4);
    return a;
  }
  Ipv6 v6() const { return Ipv6{bytes}; }
  size_t size() const { return is_v4() ? 4 : 16; }  ///< bytes on the wire
  int bits() const { return is_v4() ? 32 : 128; }   ///< longest prefix
  bool is_unspecified() const { return bytes == std::array<uint8_t, 16>{}; }
  friend auto operator<=>(const Address&, const Address&) = default;
};

/// An address and a port in host order.
struct Endpoint {
  Address address;
  uint16_t port = 0;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

/// An address and a prefix length of 0..bits().
struct Prefix {
  Address address;
  uint8_t length = 0;
  bool contains(const Address& other) const;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// Dotted quad or RFC 4291 text; nothing else (no names, no brackets, no short forms).
std::optional<Address> parse_address(std::string_view text);
/// "ADDR/LENGTH", or "ADDR" for a single address.
std::optional<Prefix> parse_prefix(std::string_view text);
/// "02:00:0a:01:00:01", six groups of two hex digits.
std::optional<MacAddress> parse_mac(std::string_view text);

std::string to_string(const Address& address);  ///< RFC 5952 for IPv6
std::string to_string(const Ipv4& address);
std::string to_string(const Ipv6& address);
std::string to_string(const Endpoint& endpoint);  ///< "1.2.3.4:80", "[2001:db8::1]:80"
std::string to_string(const Prefix& prefix);
std::string to_string(const MacAddress& mac);

}  // namespace shunt
