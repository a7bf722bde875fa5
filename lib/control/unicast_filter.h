// Has a kernel interface receive frames for further MAC addresses, without promiscuous mode: by
// memberships of a packet socket that receives nothing itself (packet(7), PACKET_MR_UNICAST). The
// kernel puts the addresses into the device's filter, or, if the device has none, opens it.
//
// Invariant: the interface receives them for as long as the object lives, and not longer, a crash
// included. Called by shuntd for ports that take a kernel interface's frames by packet sockets.
#pragma once

#include <string>

#include "base/address.h"
#include "base/result.h"
#include "control/descriptor.h"

namespace shunt::control {

class UnicastFilter {
 public:
  /// Errors: no CAP_NET_RAW.
  static Result<UnicastFilter> open(const std::string& interface);

  /// Errors: what the kernel says, such as that the interface is gone.
  Result<void> add(const MacAddress& mac);
  void remove(const MacAddress& mac);

 private:
  UnicastFilter(std::string interface, Descriptor socket)
      : x_interface(std::move(interface)), x_socket(std::move(socket)) {}
  int change(int option, const MacAddress& mac);

  std::string x_interface;
  Descriptor x_socket;
};

}  // namespace shunt::control
