// What an administrator configures: virtual services and their real servers, in IPVS's words.
//
// Plain values, compared and copied; who is configured right now is Configuration's knowledge.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "net/encapsulate.h"

namespace shunt::ipvs {

/// How a packet reaches its server. Values are the kernel's (IP_VS_CONN_F_FWD_MASK, linux/ip_vs.h).
enum class ForwardMethod : uint8_t { kMasquerade = 0, kLocal = 1, kTunnel = 2, kDirectRoute = 3 };

using net::TunnelType;

/// Service flags, the kernel's bits (IP_VS_SVC_F_*, linux/ip_vs.h).
inline constexpr uint32_t kPersistent = 0x0001;
inline constexpr uint32_t kOnePacket = 0x0004;
inline constexpr uint32_t kSchedFlag1 = 0x0008;  ///< sh-fallback, mh-fallback
inline constexpr uint32_t kSchedFlag2 = 0x0010;  ///< sh-port, mh-port
inline constexpr uint32_t kSchedFlag3 = 0x0020;

/// The identity of a virtual service: (family, protocol, address, port) or (family, fwmark).
struct ServiceKey {
  uint32_t fwmark = 0;   ///< not 0: a mark service; protocol, address, port are then zero
  uint8_t protocol = 0;  ///< net::kTcp, kUdp, kSctp
  Endpoint endpoint;     ///< endpoint.address.family is the service's family, marks included
  Family family() const { return endpoint.address.family; }
  friend auto operator<=>(const ServiceKey&, const ServiceKey&) = default;
};

/// FTP's ports: of control connections, and of data connections that servers begin.
inline constexpr uint16_t kFtpPort = 21, kFtpDataPort = 20;

/// Tunnel flags, the kernel's bits (IP_VS_TUNNEL_ENCAP_FLAG_*, linux/ip_vs.h).
inline constexpr uint16_t kTunnelNoChecksum = 0;
inline constexpr uint16_t kTunnelChecksum = 1;
inline constexpr uint16_t kTunnelRemoteChecksum = 2;

struct ServiceConfig {
  ServiceKey key;
  std::string scheduler = "wlc";
  uint32_t flags = 0;                ///< kPersistent and the like
  uint32_t persistence_timeout = 0;  ///< seconds
  uint32_t netmask = 0xffffffff;     ///< IPv4: mask in host order; IPv6: prefix length
  std::string persistence_engine;    ///< "" or "sip"
  friend bool operator==(const ServiceConfig&, const ServiceConfig&) = default;
};

struct ServerConfig {
  Endpoint endpoint;
  ForwardMethod method = ForwardMethod::kDirectRoute;
  int32_t weight = 1;
  uint32_t upper_threshold = 0, lower_threshold = 0;
  TunnelType tunnel_type = TunnelType::kIpip;
  uint16_t tunnel_port = 0;
  uint16_t tunnel_flags = kTunnelNoChecksum;
  friend bool operator==(const ServerConfig&, const ServerConfig&) = default;

  /// As packets need it. GUE's remote checksum leaves part of the work to an offload of the sending
  /// host; where none is due it is a checksum as any other (ipvs_gue_encap, ip_vs_xmit.c).
  net::Tunnel tunnel() const {
    bool has_checksum = tunnel_type == TunnelType::kGue ? tunnel_flags != kTunnelNoChecksum
                                                        : (tunnel_flags & kTunnelChecksum) != 0;
    return {tunnel_type, has_checksum, tunnel_port};
  }
};

}  // namespace shunt::ipvs
