#include "control/twin.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "control/descriptor.h"
#include "control/netlink.h"
#include "control/netlink_attributes.h"

namespace shunt::control {
namespace {

constexpr const char* kTunDevice = "/dev/net/tun";

/// An interface as RTM_GETLINK describes it.
struct Found {
  bool exists = false;
  std::string kind;  ///< IFLA_INFO_KIND; none for hardware and lo
  bool tap = false;
  bool multi_queue = false;
  uint32_t queues = 0;  ///< attached now, by whomever
};

Result<Found> find(const std::string& name) {
  auto netlink = Netlink::open({});
  if (!netlink) return netlink.error();
  alignas(nlmsghdr) std::array<char, 256> bytes{};
  nlmsghdr* request = mnl_nlmsg_put_header(bytes.data());
  request->nlmsg_type = RTM_GETLINK;
  request->nlmsg_flags = NLM_F_DUMP;
  static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)))->ifi_family =
      AF_UNSPEC;
  auto text = [](const nlattr* attribute) {
    const char* first = mnl_attr_get_str(attribute);
    return std::string(first, strnlen(first, mnl_attr_get_payload_len(attribute)));
  };
  auto flag = [](const nlattr* attribute) {
    return mnl_attr_get_payload_len(attribute) >= 1 && mnl_attr_get_u8(attribute) != 0;
  };
  Found found;
  auto answer = netlink->ask(request, "the dump of the interfaces", [&](const nlmsghdr& message) {
    Found one;
    bool is_it = false;
    for_each_attribute(message, sizeof(ifinfomsg), [&](int type, const nlattr* attribute) {
      if (type == IFLA_IFNAME) is_it = text(attribute) == name;
      if (type != IFLA_LINKINFO) return;
      for_each_nested(attribute, [&](int info, const nlattr* value) {
        if (info == IFLA_INFO_KIND) one.kind = text(value);
        if (info != IFLA_INFO_DATA || one.kind != "tun") return;
        for_each_nested(value, [&](int tun, const nlattr* v) {
          if (tun == IFLA_TUN_TYPE)
            one.tap = mnl_attr_get_payload_len(v) >= 1 && mnl_attr_get_u8(v) == IFF_TAP;
          if (tun == IFLA_TUN_MULTI_QUEUE) one.multi_queue = flag(v);
          if (tun == IFLA_TUN_NUM_QUEUES || tun == IFLA_TUN_NUM_DISABLED_QUEUES)
            one.queues += read_u32(v);
        });
      });
    });
    if (!is_it) return;
    found = one;
    found.exists = true;
  });
  if (!answer) return answer.error();
  return found;
}

Error failed(const std::string& what, int number) {
  return {what + " failed: " + std::strerror(number) +
          (number == EPERM ? " (it needs CAP_NET_ADMIN)" : "")};
}

Result<void> check(const std::string& name, const Found& found) {
  if (name.empty() || name.size() >= IFNAMSIZ || name.find('/') != name.npos)
    return Error{"'" + name + "' cannot be a twin's name: an interface has 1 to 15 characters", 2};
  if (!found.exists) return {};
  std::string rename = "rename it (`ip link set " + name + " down && ip link set " + name +
                       " name NEW`) or name another twin";
  if (found.kind != "tun" || !found.tap) {
    if (found.kind.empty())
      return Error{"the twin's name " + name + " is taken by a device of the machine: " + rename};
    return Error{"the twin's name " + name + " is taken by an interface of kind " +
                 (found.kind == "tun" ? "tun in mode tun" : found.kind) +
                 ": remove it (`ip link del " + name + "`), " + rename};
  }
  if (!found.multi_queue)
    return Error{"the TAP " + name +
                 " was made without multi_queue, so DPDK cannot attach to it: remove it (`ip link "
                 "del " +
                 name + "`) and it will be made anew"};
  if (found.queues > 0)
    return Error{"the twin " + name +
                 " is in use by another process: end that one or name another twin"};
  return {};
}

Result<void> create(const std::string& name) {
  Descriptor tun(open(kTunDevice, O_RDWR | O_CLOEXEC));
  if (!tun && (errno == EACCES || errno == EPERM))
    return Error{std::string("no permission to open ") + kTunDevice + " for the twin " + name +
                 ": run as root or with CAP_NET_ADMIN"};
  if (!tun)
    return Error{std::string(kTunDevice) + " cannot be opened (" + std::strerror(errno) +
                 "), so the twin " + name + " cannot be made: `modprobe tun`"};
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_MULTI_QUEUE;
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) return failed("making the twin " + name, errno);
  if (ioctl(tun.get(), TUNSETPERSIST, 1) < 0)
    return failed("making the twin " + name + " persistent", errno);
  return {};
}

Result<void> set_mtu(int socket, const std::string& name, uint32_t mtu) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(socket, SIOCGIFMTU, &request) < 0)
    return failed("reading the MTU of the twin " + name, errno);
  if (request.ifr_mtu == static_cast<int>(mtu)) return {};
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(socket, SIOCSIFMTU, &request) < 0)
    return failed("setting the MTU of the twin " + name + " to " + std::to_string(mtu), errno);
  return {};
}

Result<void> set_mac(int socket, const std::string& name, const MacAddress& mac) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(socket, SIOCGIFHWADDR, &request) < 0)
    return failed("reading the MAC address of the twin " + name, errno);
  if (std::memcmp(request.ifr_hwaddr.sa_data, &mac, sizeof mac) == 0) return {};
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, &mac, sizeof mac);
  if (ioctl(socket, SIOCSIFHWADDR, &request) < 0)
    return failed("setting the MAC address of the twin " + name + " to " + to_string(mac), errno);
  return {};
}

Result<void> set_up(int socket, const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(socket, SIOCGIFFLAGS, &request) < 0)
    return failed("reading the flags of the twin " + name, errno);
  if (request.ifr_flags & IFF_UP) return {};
  request.ifr_flags |= IFF_UP;
  if (ioctl(socket, SIOCSIFFLAGS, &request) < 0)
    return failed("setting the twin " + name + " up", errno);
  return {};
}

}  // namespace

Result<void> check_twin(const std::string& name) {
  auto found = find(name);
  if (!found) return found.error();
  return check(name, *found);
}

Result<void> prepare_twin(const std::string& name, const MacAddress& mac, uint32_t mtu) {
  auto found = find(name);
  if (!found) return found.error();
  if (auto checked = check(name, *found); !checked) return checked;
  // One that is there without an open queue is persistent, or it would not be there.
  if (!found->exists)
    if (auto created = create(name); !created) return created;
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("opening a socket for the twin " + name, errno);
  // The MAC before the link is up, so that the IPv6 link-local address is made of it.
  if (auto set = set_mac(socket.get(), name, mac); !set) return set;
  if (auto set = set_mtu(socket.get(), name, mtu); !set) return set;
  return set_up(socket.get(), name);
}

Result<void> settle_twin(const std::string& name, uint32_t mtu) {
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return failed("opening a socket for the twin " + name, errno);
  return set_mtu(socket.get(), name, mtu);
}

Result<void> cut_twin(const std::string& name) {
  auto netlink = Netlink::open({});
  if (!netlink) return netlink.error();
  alignas(nlmsghdr) std::array<char, 256> bytes{};
  nlmsghdr* request = mnl_nlmsg_put_header(bytes.data());
  request->nlmsg_type = RTM_SETLINK;
  static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)))->ifi_family =
      AF_UNSPEC;
  mnl_attr_put_strz(request, IFLA_IFNAME, name.c_str());
  mnl_attr_put_u8(request, IFLA_CARRIER, 0);
  const std::string what = "taking the carrier of the twin " + name;
  auto answer = netlink->ask(request, what.c_str(), [](const nlmsghdr&) {});
  if (!answer) return answer.error();
  return {};
}

std::string twin_devargs(unsigned index, const std::string& name, const MacAddress& mac) {
  return "net_tap" + std::to_string(index) + ",iface=" + name + ",mac=" + to_string(mac) +
         ",persist";
}

}  // namespace shunt::control
