#include "control/mirror_routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>

#include "control/netlink_attributes.h"

namespace shunt::control {
namespace {

/// RTA_VIA: a gateway of another family than the route's (RFC 8950).
std::optional<Address> read_via(const nlattr* attribute) {
  size_t size = mnl_attr_get_payload_len(attribute);
  if (size <= sizeof(rtvia)) return std::nullopt;
  const auto* via = static_cast<const rtvia*>(mnl_attr_get_payload(attribute));
  return read_address(via->rtvia_family, via->rtvia_addr, size - sizeof(rtvia));
}

std::vector<Way> read_multipath(uint8_t family, const nlattr* multipath) {
  std::vector<Way> ways;
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(multipath));
  int left = mnl_attr_get_payload_len(multipath);
  while (RTNH_OK(hop, left)) {
    Way way{.interface = static_cast<uint32_t>(hop->rtnh_ifindex), .flags = hop->rtnh_flags};
    for_each_attribute(reinterpret_cast<const char*>(hop) + sizeof *hop,
                       hop->rtnh_len - sizeof *hop, [&](int type, const nlattr* attribute) {
                         if (type == RTA_GATEWAY) way.gateway = read_address(family, attribute);
                         if (type == RTA_VIA) way.gateway = read_via(attribute);
                       });
    ways.push_back(way);
    left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len));
    hop = RTNH_NEXT(hop);
  }
  return ways;
}

bool is_link_local(const Prefix& prefix) {
  return !prefix.address.is_v4() && prefix.length >= 10 && prefix.address.bytes[0] == 0xfe &&
         (prefix.address.bytes[1] & 0xc0) == 0x80;
}

RouteMessage::Kind kind_of(uint8_t type) {
  switch (type) {
    case RTN_UNICAST:
      return RouteMessage::kUnicast;
    case RTN_LOCAL:
      return RouteMessage::kLocal;
    case RTN_BROADCAST:
      return RouteMessage::kBroadcast;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
      return RouteMessage::kRefusing;
    default:
      return RouteMessage::kIgnored;
  }
}

}  // namespace

RouteMessage parse_route(const nlmsghdr& message) {
  RouteMessage route;
  if (message.nlmsg_len < mnl_nlmsg_size(sizeof(rtmsg))) return route;
  const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&message));
  uint8_t family = header->rtm_family;
  if (family != AF_INET && family != AF_INET6) return route;
  if (header->rtm_flags & RTM_F_CLONED || header->rtm_tos != 0) return route;

  uint32_t table = header->rtm_table;
  route.prefix.address = family == AF_INET ? Address(Ipv4{}) : Address(Ipv6{});
  route.prefix.length = header->rtm_dst_len;
  Way way{.flags = header->rtm_flags};
  bool has_way = false;
  for_each_attribute(message, sizeof(rtmsg), [&](int type, const nlattr* attribute) {
    switch (type) {
      case RTA_TABLE:
        table = read_u32(attribute);
        break;
      case RTA_DST:
        if (auto a = read_address(family, attribute)) route.prefix.address = *a;
        break;
      case RTA_PRIORITY:
        route.metric = read_u32(attribute);
        break;
      case RTA_PREFSRC:
        route.source = read_address(family, attribute);
        break;
      case RTA_OIF:
        way.interface = read_u32(attribute);
        has_way = true;
        break;
      case RTA_GATEWAY:
        way.gateway = read_address(family, attribute);
        break;
      case RTA_VIA:
        way.gateway = read_via(attribute);
        break;
      case RTA_MULTIPATH:
        route.ways = read_multipath(family, attribute);
        break;
      case RTA_METRICS:
        for_each_nested(attribute, [&](int metric, const nlattr* value) {
          if (metric == RTAX_MTU) route.mtu = read_u32(value);
        });
        break;
    }
  });
  if (route.ways.empty() && has_way) route.ways.push_back(way);
  if (table != RT_TABLE_MAIN && table != RT_TABLE_LOCAL) return route;
  if (is_link_local(route.prefix) || route.prefix.length > route.prefix.address.bits())
    return route;
  route.kind = kind_of(header->rtm_type);
  return route;
}

MirrorRoutes::Applied MirrorRoutes::apply(const nlmsghdr& message, bool from_dump) {
  RouteMessage route = parse_route(message);
  if (route.kind == RouteMessage::kIgnored) return {};
  const bool is_local =
      route.kind == RouteMessage::kLocal || route.kind == RouteMessage::kBroadcast;
  Key key{is_local, route.prefix, route.metric};
  auto found = x_routes.find(key);
  bool known = found != x_routes.end();

  if (message.nlmsg_type == RTM_DELROUTE) {
    if (!known) return {};
    auto& same = found->second;
    auto gone = std::find(same.begin(), same.end(), route);
    if (gone == same.end()) return {.changed = true, .uncertain = true};
    same.erase(gone);
    if (same.empty()) x_routes.erase(found);
    return {.changed = true};
  }
  if (!known) {
    x_routes[key].push_back(std::move(route));
    return {.changed = true};
  }
  auto& same = found->second;
  if (std::find(same.begin(), same.end(), route) != same.end()) return {};
  if (from_dump) {
    same.push_back(std::move(route));
    return {.changed = true};
  }
  if (message.nlmsg_flags & NLM_F_REPLACE && same.size() == 1) {
    same.front() = std::move(route);
    return {.changed = true};
  }
  // Appended, prepended, one more way of an IPv6 route: the order is the kernel's to tell.
  return {.changed = true, .uncertain = true};
}

MirrorRoutes::Tables MirrorRoutes::compile(const std::map<uint32_t, uint8_t>& ports,
                                           const std::map<uint32_t, Link>& links) const {
  Tables tables;
  auto usable = [&](const Way& way) {
    auto link = links.find(way.interface);
    return ports.contains(way.interface) && link != links.end() && link->second.up &&
           !(way.flags & RTNH_F_DEAD);
  };
  auto choose = [&](const RouteMessage& route) -> const Way* {
    const Way* chosen = nullptr;
    for (const Way& way : route.ways) {
      if (!usable(way)) continue;
      if (!(way.flags & RTNH_F_LINKDOWN)) return &way;
      if (!chosen) chosen = &way;
    }
    return chosen;
  };
  bool uses_macvlan = false;
  for (const auto& [key, same] : x_routes) {
    if (key.local) {
      if (!tables.locals.empty() && tables.locals.back().prefix == key.prefix) continue;
      uint32_t interface = same.front().ways.empty() ? 0 : same.front().ways.front().interface;
      auto port = ports.find(interface);
      tables.locals.push_back({key.prefix, port == ports.end() ? uint8_t{0} : port->second,
                               same.front().kind == RouteMessage::kBroadcast});
      continue;
    }
    // Keys of one prefix follow each other, lowest metric first.
    if (!tables.routes.empty() && tables.routes.back().prefix == key.prefix) continue;
    for (const RouteMessage& route : same) {
      const Way* way = choose(route);
      if (!way) continue;
      tables.routes.push_back(
          {key.prefix, ports.at(way->interface), way->gateway, route.mtu, route.source});
      if (!way->gateway) tables.on_link.emplace_back(key.prefix, way->interface);
      uses_macvlan |= links.at(way->interface).lower != 0;
      break;
    }
  }
  if (!uses_macvlan) tables.on_link.clear();
  return tables;
}

}  // namespace shunt::control
