// Names of hosts and ports, both ways, behind four functions; and of protocols.
//
// The client looks names up (it may wait for DNS); the daemon never does: it parses and lists with
// numeric_names(). Callers: parse_command(), the listings; of protocols, the socket's protocol too.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/address.h"
#include "net/headers.h"

namespace shunt::ipvs {

struct Names {
  /// The IPv4 address of a host (ipvsadm looks up no IPv6 ones, but their names).
  std::function<std::optional<Ipv4>(const std::string& host)> address;
  /// The port of a service of /etc/services under TCP, UDP or SCTP; nothing under others.
  std::function<std::optional<uint16_t>(const std::string& service, uint8_t protocol)> port;
  std::function<std::optional<std::string>(const Address& address)> host;
  std::function<std::optional<std::string>(uint16_t port, uint8_t protocol)> service;
};

struct ProtocolName {
  uint8_t protocol;
  const char* name;
};
/// The protocols of services, as /etc/protocols writes them.
inline constexpr ProtocolName kProtocolNames[] = {
    {net::kTcp, "tcp"}, {net::kUdp, "udp"}, {net::kSctp, "sctp"}};
/// Null for all others.
const char* protocol_name(uint8_t protocol);

/// Ask the system's resolver; may block.
Names system_names();
/// Knows no name: numbers only.
Names numeric_names();

}  // namespace shunt::ipvs
