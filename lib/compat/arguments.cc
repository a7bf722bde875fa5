#include "compat/arguments.h"

#include <arpa/inet.h>
#include <linux/ip_vs.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "compat/message.h"
#include "net/headers.h"

namespace shunt::compat {

namespace {

std::optional<Family> family_of(uint16_t number) {
  if (number == AF_INET) return Family::kV4;
  if (number == AF_INET6) return Family::kV6;
  return std::nullopt;
}

/// An attribute may be shorter than the kernel's union nf_inet_addr: the rest is zero.
Address address_of(Family family, std::string_view bytes) {
  Address address;
  address.family = family;
  std::memcpy(address.bytes.data(), bytes.data(), std::min(bytes.size(), address.size()));
  return address;
}

bool is_of_known_protocol(uint16_t protocol) {
  return protocol == net::kTcp || protocol == net::kUdp || protocol == net::kSctp;
}

/// What a new or edited service needs besides its identity.
ErrorNumber read_rest(const Attributes<__IPVS_SVC_ATTR_MAX>& attributes, ServiceArguments& to) {
  const auto scheduler = attributes.text(IPVS_SVC_ATTR_SCHED_NAME, IP_VS_SCHEDNAME_MAXLEN - 1);
  const auto flags = attributes.number<ip_vs_flags>(IPVS_SVC_ATTR_FLAGS);
  const auto timeout = attributes.number<uint32_t>(IPVS_SVC_ATTR_TIMEOUT);
  const auto netmask = attributes.number<uint32_t>(IPVS_SVC_ATTR_NETMASK);
  if (!scheduler || !flags || !timeout || !netmask) return EINVAL;
  to.config.scheduler = *scheduler;
  if (attributes.has(IPVS_SVC_ATTR_PE_NAME)) {
    const auto engine = attributes.text(IPVS_SVC_ATTR_PE_NAME, IP_VS_PENAME_MAXLEN - 1);
    if (!engine) return EINVAL;
    to.config.persistence_engine = *engine;
  }
  to.change = {flags->flags, flags->mask};
  to.config.persistence_timeout = *timeout;
  // A mask in network order, or a prefix length as a plain number.
  const bool is_v4 = to.config.key.family() == Family::kV4;
  to.config.netmask = is_v4 ? ntohl(*netmask) : *netmask;
  if (!is_v4 && (*netmask < 1 || *netmask > 128)) return EINVAL;
  return 0;
}

}  // namespace

ErrorNumber read_service(std::string_view nest, bool full, ServiceArguments& to) {
  const Attributes<__IPVS_SVC_ATTR_MAX> attributes(nest);
  const auto number = attributes.number<uint16_t>(IPVS_SVC_ATTR_AF);
  const auto mark = attributes.number<uint32_t>(IPVS_SVC_ATTR_FWMARK);
  const auto protocol = attributes.number<uint16_t>(IPVS_SVC_ATTR_PROTOCOL);
  const auto port = attributes.number<uint16_t>(IPVS_SVC_ATTR_PORT);
  const bool has_address = attributes.has(IPVS_SVC_ATTR_ADDR) &&
                           attributes.bytes(IPVS_SVC_ATTR_ADDR).size() <= sizeof(Ipv6);
  if (!number || !(mark || (protocol && port && has_address))) return EINVAL;
  const auto family = family_of(*number);
  if (!family) return EAFNOSUPPORT;
  ipvs::ServiceKey& key = to.config.key;
  key = {};
  key.endpoint.address.family = *family;
  if (mark) {
    // The kernel would take the mark 0 for the address 0.0.0.0: nobody has such a service.
    if (*mark == 0) return EINVAL;
    key.fwmark = *mark;
  } else {
    if (!is_of_known_protocol(*protocol)) return EINVAL;
    key.protocol = static_cast<uint8_t>(*protocol);
    key.endpoint.address = address_of(*family, attributes.bytes(IPVS_SVC_ATTR_ADDR));
    key.endpoint.port = ntohs(*port);
  }
  return full ? read_rest(attributes, to) : 0;
}

ErrorNumber read_server(std::string_view nest, bool full, Family family, ipvs::ServerConfig& to) {
  const Attributes<__IPVS_DEST_ATTR_MAX> attributes(nest);
  const auto port = attributes.number<uint16_t>(IPVS_DEST_ATTR_PORT);
  if (!port || !attributes.has(IPVS_DEST_ATTR_ADDR) ||
      attributes.bytes(IPVS_DEST_ATTR_ADDR).size() > sizeof(Ipv6))
    return EINVAL;
  to = {};
  if (full) {
    const auto method = attributes.number<uint32_t>(IPVS_DEST_ATTR_FWD_METHOD);
    const auto weight = attributes.number<int32_t>(IPVS_DEST_ATTR_WEIGHT);
    const auto upper = attributes.number<uint32_t>(IPVS_DEST_ATTR_U_THRESH);
    const auto lower = attributes.number<uint32_t>(IPVS_DEST_ATTR_L_THRESH);
    if (!method || !weight || !upper || !lower) return EINVAL;
    if ((*method & IP_VS_CONN_F_FWD_MASK) > IP_VS_CONN_F_DROUTE) return EINVAL;
    to.method = static_cast<ipvs::ForwardMethod>(*method & IP_VS_CONN_F_FWD_MASK);
    to.weight = *weight;
    to.upper_threshold = *upper;
    to.lower_threshold = *lower;
    const uint8_t type = attributes.number<uint8_t>(IPVS_DEST_ATTR_TUN_TYPE).value_or(0);
    if (type > IP_VS_CONN_F_TUNNEL_TYPE_GRE) return EINVAL;
    to.tunnel_type = static_cast<ipvs::TunnelType>(type);
    to.tunnel_port = ntohs(attributes.number<uint16_t>(IPVS_DEST_ATTR_TUN_PORT).value_or(0));
    to.tunnel_flags = attributes.number<uint16_t>(IPVS_DEST_ATTR_TUN_FLAGS).value_or(0);
  }
  // Programs of before Linux 3.18 name no family: it is the service's.
  const uint16_t number = attributes.number<uint16_t>(IPVS_DEST_ATTR_ADDR_FAMILY).value_or(0);
  const auto own = number == 0 ? std::optional(family) : family_of(number);
  if (!own) return EAFNOSUPPORT;
  if (full && *own != family && to.method != ipvs::ForwardMethod::kTunnel) return EINVAL;
  to.endpoint.address = address_of(*own, attributes.bytes(IPVS_DEST_ATTR_ADDR));
  to.endpoint.port = ntohs(*port);
  return 0;
}

}  // namespace shunt::compat
