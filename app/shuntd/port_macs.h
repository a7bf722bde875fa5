// Has ports take frames for the MAC addresses of Linux's macvlans on their twins: tells the device,
// so that it receives them, and the workers, so that they do not drop them as foreign.
// Runs on the control thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/twin_links.h"
#include "control/unicast_filter.h"
#include "engine.h"

namespace shunt::daemon {

class PortMacs {
 public:
  explicit PortMacs(Engine& engine) : x_engine(engine) {}

  /// All that there are now. Of a port's at most share::kMaxFurtherMacs count, those that it has
  /// already first; others are counted (macs_full).
  void set(const std::vector<control::TwinMac>& macs);
  /// What could not be published before, because of readers of earlier values.
  void publish();

 private:
  using Key = std::pair<uint8_t, MacAddress>;  ///< port, MAC address
  void add(const Key& key, const std::string& interface);
  void remove(const Key& key, const std::string& interface);
  Result<void> tell_device(const Key& key);

  Engine& x_engine;
  std::map<Key, std::string> x_macs;                    ///< whose macvlan's each is
  std::map<Key, std::string> x_refused;                 ///< likewise, without room
  std::map<uint8_t, control::UnicastFilter> x_filters;  ///< of ports on kernel interfaces
  bool x_waiting = false;
};

}  // namespace shunt::daemon
