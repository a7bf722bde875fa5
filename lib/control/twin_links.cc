#include "control/twin_links.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

#include "control/netlink_attributes.h"

namespace shunt::control {
namespace {

std::string read_text(const nlattr* attribute) {
  const char* text = mnl_attr_get_str(attribute);
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

Link read_link(const nlmsghdr& message) {
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  Link link;
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.running = (header->ifi_flags & IFF_LOWER_UP) != 0;
  std::string kind;
  MacAddress mac{};
  uint32_t lower = 0;
  bool is_elsewhere = false;  // the interface below is in another network namespace
  for_each_attribute(message, sizeof(ifinfomsg), [&](int type, const nlattr* attribute) {
    if (type == IFLA_IFNAME) link.name = read_text(attribute);
    if (type == IFLA_LINK) lower = read_u32(attribute);
    if (type == IFLA_LINK_NETNSID) is_elsewhere = true;
    if (type == IFLA_ADDRESS && mnl_attr_get_payload_len(attribute) == sizeof mac)
      std::memcpy(&mac, mnl_attr_get_payload(attribute), sizeof mac);
    if (type != IFLA_LINKINFO) return;
    for_each_nested(attribute, [&](int info, const nlattr* value) {
      if (info == IFLA_INFO_KIND) kind = read_text(value);
    });
  });
  if (kind == "macvlan" && !is_elsewhere) {
    link.lower = lower;
    link.mac = mac;
  }
  return link;
}

}  // namespace

TwinLinks::Applied TwinLinks::apply(const nlmsghdr& message) {
  if (message.nlmsg_len < mnl_nlmsg_size(sizeof(ifinfomsg))) return Applied::kNothing;
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  // A bridge's port speaks as AF_BRIDGE.
  if (header->ifi_family != AF_UNSPEC) return Applied::kNothing;
  const auto index = static_cast<uint32_t>(header->ifi_index);
  const bool was_ports = x_ports.contains(index);
  bool may_be_ports = was_ports;
  if (message.nlmsg_type == RTM_DELLINK) {
    x_links.erase(index);
  } else {
    Link link = read_link(message);
    auto known = x_links.find(index);
    if (known != x_links.end() && known->second == link) return Applied::kNothing;
    may_be_ports |= link.lower != 0 || is_twin(link.name);
    x_links[index] = std::move(link);
  }
  // Hosts have thousands of other interfaces.
  if (!may_be_ports) return Applied::kOther;
  const auto before = x_ports;
  find_ports();
  return was_ports || x_ports != before ? Applied::kOfAPort : Applied::kOther;
}

void TwinLinks::clear() {
  x_links.clear();
  x_ports.clear();
}

void TwinLinks::find_ports() {
  x_ports.clear();
  for (const auto& [index, link] : x_links)
    if (auto twin = x_twins.find(link.name); twin != x_twins.end()) x_ports[index] = twin->second;
  const auto twins = x_ports;
  for (const auto& [index, link] : x_links)
    if (auto below = twins.find(link.lower); below != twins.end()) x_ports[index] = below->second;
}

uint32_t TwinLinks::twin_of(uint8_t port) const {
  for (const auto& [index, of_port] : x_ports)
    if (of_port == port && x_links.at(index).lower == 0) return index;
  return 0;
}

std::vector<TwinMac> TwinLinks::macs() const {
  std::vector<TwinMac> macs;
  for (const auto& [index, port] : x_ports) {
    const Link& link = x_links.at(index);
    if (link.lower != 0 && link.up) macs.push_back({port, link.mac, link.name});
  }
  std::sort(macs.begin(), macs.end());
  return macs;
}

}  // namespace shunt::control
