// The kernel's interfaces as RTM_NEWLINK and RTM_DELLINK tell of them, and which of them are a
// port's: its twin, and every macvlan on its twin. A macvlan has a MAC address of its own, for
// which the port then takes frames, and may have addresses, routes and neighbours as the twin has;
// VRRP's virtual routers are such (keepalived's use_vmac).
//
// Of this network namespace only: a macvlan that was moved to another is none of the port's.
// Called by Mirror; knows no socket.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"

struct nlmsghdr;

namespace shunt::control {

/// An interface of the kernel's (RTM_NEWLINK).
struct Link {
  std::string name;
  bool up = false;       ///< IFF_UP, the administrator's wish; a twin without a carrier is still up
  bool running = false;  ///< IFF_LOWER_UP, a carrier
  uint32_t lower = 0;    ///< of a macvlan: the index of the interface below; of others 0
  MacAddress mac{};      ///< of a macvlan
  bool operator==(const Link&) const = default;
};

/// A MAC address that a port takes frames for besides its own.
struct TwinMac {
  uint8_t port = 0;
  MacAddress mac{};
  std::string interface;  ///< the macvlan
  auto operator<=>(const TwinMac&) const = default;
};

class TwinLinks {
 public:
  /// The interface `name` is the twin of `port`.
  void add_twin(const std::string& name, uint8_t port) { x_twins[name] = port; }
  bool is_twin(const std::string& name) const { return x_twins.contains(name); }

  enum class Applied : uint8_t {
    kNothing,  ///< nothing changed, or it is no message about an interface
    kOther,    ///< an interface that is no port's came, went or changed
    kOfAPort,  ///< one that is or was a port's
  };
  Applied apply(const nlmsghdr& message);
  void clear();

  const std::map<uint32_t, Link>& links() const { return x_links; }
  /// Interface index → port, of twins and macvlans.
  const std::map<uint32_t, uint8_t>& ports() const { return x_ports; }
  /// The index of a port's twin, 0: it has none.
  uint32_t twin_of(uint8_t port) const;
  /// Of the macvlans that are up.
  std::vector<TwinMac> macs() const;

 private:
  void find_ports();

  std::map<std::string, uint8_t> x_twins;
  std::map<uint32_t, Link> x_links;
  std::map<uint32_t, uint8_t> x_ports;
};

}  // namespace shunt::control
