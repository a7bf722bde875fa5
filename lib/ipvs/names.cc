#include "ipvs/names.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace shunt::ipvs {
namespace {

std::optional<Ipv4> look_up_address(const std::string& host) {
  // No top-level domain is a number: what ends in a digit after a dot is a mistyped address, and no
  // DNS server need be asked about it.
  size_t label = host.find_last_of('.');
  if (label != host.npos && host.find_first_not_of("0123456789", label + 1) == host.npos)
    return std::nullopt;
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  Ipv4 address;
  std::memcpy(address.bytes.data(), &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, 4);
  freeaddrinfo(found);
  return address;
}

std::optional<uint16_t> look_up_port(const std::string& service, uint8_t protocol) {
  const char* name = protocol_name(protocol);
  const servent* entry = name ? getservbyname(service.c_str(), name) : nullptr;
  if (!entry) return std::nullopt;
  return ntohs(static_cast<uint16_t>(entry->s_port));
}

std::optional<std::string> look_up_host(const Address& address) {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } place{};
  socklen_t length = 0;
  if (address.is_v4()) {
    place.v4.sin_family = AF_INET;
    std::memcpy(&place.v4.sin_addr, address.bytes.data(), sizeof place.v4.sin_addr);
    length = sizeof place.v4;
  } else {
    place.v6.sin6_family = AF_INET6;
    std::memcpy(&place.v6.sin6_addr, address.bytes.data(), sizeof place.v6.sin6_addr);
    length = sizeof place.v6;
  }
  char host[NI_MAXHOST];
  if (getnameinfo(&place.any, length, host, sizeof host, nullptr, 0, NI_NAMEREQD) != 0)
    return std::nullopt;
  return host;
}

std::optional<std::string> look_up_service(uint16_t port, uint8_t protocol) {
  const char* name = protocol_name(protocol);
  const servent* entry = name ? getservbyport(htons(port), name) : nullptr;
  if (!entry) return std::nullopt;
  return entry->s_name;
}

}  // namespace

const char* protocol_name(uint8_t protocol) {
  for (const ProtocolName& row : kProtocolNames)
    if (row.protocol == protocol) return row.name;
  return nullptr;
}

Names system_names() {
  return {look_up_address, look_up_port, look_up_host, look_up_service};
}

Names numeric_names() {
  return {[](const std::string&) { return std::nullopt; },
          [](const std::string&, uint8_t) { return std::nullopt; },
          [](const Address&) { return std::nullopt; },
          [](uint16_t, uint8_t) { return std::nullopt; }};
}

}  // namespace shunt::ipvs
