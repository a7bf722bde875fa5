#include "control/unicast_filter.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace shunt::control {

Result<UnicastFilter> UnicastFilter::open(const std::string& interface) {
  // Of no protocol, so that no frame comes here.
  Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket) return Error{"opening a packet socket failed: " + std::string(std::strerror(errno))};
  return UnicastFilter(interface, std::move(socket));
}

int UnicastFilter::change(int option, const MacAddress& mac) {
  packet_mreq membership{};
  membership.mr_ifindex = static_cast<int>(if_nametoindex(x_interface.c_str()));
  if (membership.mr_ifindex == 0) return errno;
  membership.mr_type = PACKET_MR_UNICAST;
  membership.mr_alen = sizeof mac;
  std::memcpy(membership.mr_address, mac.bytes.data(), sizeof mac);
  if (setsockopt(x_socket.get(), SOL_PACKET, option, &membership, sizeof membership) == 0) return 0;
  return errno;
}

Result<void> UnicastFilter::add(const MacAddress& mac) {
  const int error = change(PACKET_ADD_MEMBERSHIP, mac);
  if (error == 0) return {};
  return Error{"the interface " + x_interface + " refuses it: " + std::strerror(error)};
}

// Nothing to do if the interface is gone.
void UnicastFilter::remove(const MacAddress& mac) {
  (void)change(PACKET_DROP_MEMBERSHIP, mac);
}

}  // namespace shunt::control
