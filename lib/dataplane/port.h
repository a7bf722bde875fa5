// A started Ethernet port: an ethdev with the queues, RSS and offloads of its plan.
//
// Invariant: a Port that exists is started; its destruction stops and closes the ethdev and, with
// its last port, detaches the device; nobody may poll it then. Made and destroyed by the main
// thread; workers only use id() and the queue numbers (queues.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/port_plan.h"

struct rte_mempool;

namespace shunt::dataplane {

/// Attaches the device that `devargs` names (EAL's --vdev and --allow syntax: "net_null0,copy=1",
/// "0000:03:00.0") and returns its (first) ethdev number. Errors: unknown, busy or already attached
/// device, or one that made no Ethernet port.
Result<uint16_t> attach(const std::string& devargs);

class Port {
 public:
  /// What start() would ask of the device.
  static Result<PortPlan> plan(uint16_t ethdev_id, const std::string& name, const PortWish& wish);
  /// Receives into mbufs of `pool`, which must outlive the port. Accepts all multicast (IPv6
  /// neighbour discovery, VRRP) where the device can be told. Errors name the port and the step;
  /// the device is then stopped, still attached, and may be tried again.
  static Result<std::unique_ptr<Port>> start(uint16_t ethdev_id, const std::string& name,
                                             const PortWish& wish, rte_mempool* pool);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  uint16_t id() const { return x_id; }  ///< the ethdev's number
  const std::string& name() const { return x_name; }
  const MacAddress& mac() const { return x_mac; }
  uint16_t rx_queues() const { return x_plan.rx_queues; }
  uint16_t tx_queues() const { return x_plan.tx_queues; }
  uint16_t mtu() const { return x_plan.mtu; }
  const PortPlan& plan() const { return x_plan; }

  /// Has the device receive frames to a further MAC address, besides those to mac(). The error is a
  /// clause that says why it does not.
  Result<void> add_mac(const MacAddress& mac);
  void remove_mac(const MacAddress& mac);

  int socket() const { return x_socket; }  ///< NUMA node, or -1: unknown

 private:
  Port(uint16_t id, std::string name) : x_id(id), x_name(std::move(name)) {}

  uint16_t x_id;
  std::string x_name;
  MacAddress x_mac{};
  PortPlan x_plan{};
  int x_socket = -1;
  bool x_started = false;
};

}  // namespace shunt::dataplane
