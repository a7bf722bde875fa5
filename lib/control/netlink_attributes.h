// Reading rtnetlink attributes in C++ (libmnl's loops are C only), never past the given size.
#pragma once

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <utility>

#include "base/address.h"

namespace shunt::control {

/// Calls f(type, attribute) for each attribute of the `size` bytes at `first`.
template <class F>
void for_each_attribute(const void* first, size_t size, F&& f) {
  const auto* attribute = static_cast<const nlattr*>(first);
  auto left = static_cast<int>(size);
  for (; mnl_attr_ok(attribute, left); attribute = mnl_attr_next(attribute)) {
    f(mnl_attr_get_type(attribute), attribute);
    left -= MNL_ALIGN(attribute->nla_len);
  }
}

/// The attributes of a message after its header of `header_size` bytes.
template <class F>
void for_each_attribute(const nlmsghdr& message, size_t header_size, F&& f) {
  size_t offset = MNL_NLMSG_HDRLEN + MNL_ALIGN(header_size);
  if (message.nlmsg_len < offset) return;
  for_each_attribute(reinterpret_cast<const char*>(&message) + offset, message.nlmsg_len - offset,
                     std::forward<F>(f));
}

/// The attributes within an attribute.
template <class F>
void for_each_nested(const nlattr* nest, F&& f) {
  for_each_attribute(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest),
                     std::forward<F>(f));
}

/// Of `family` (AF_INET, AF_INET6); nothing if the size is not the family's.
inline std::optional<Address> read_address(int family, const void* bytes, size_t size) {
  if (family == AF_INET && size == sizeof(Ipv4)) {
    Ipv4 a;
    std::memcpy(&a, bytes, sizeof a);
    return Address(a);
  }
  if (family == AF_INET6 && size == sizeof(Ipv6)) {
    Ipv6 a;
    std::memcpy(&a, bytes, sizeof a);
    return Address(a);
  }
  return std::nullopt;
}

inline std::optional<Address> read_address(int family, const nlattr* attribute) {
  return read_address(family, mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

inline uint32_t read_u32(const nlattr* attribute) {
  return mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : 0;
}

inline int family_of(const Address& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

}  // namespace shunt::control
