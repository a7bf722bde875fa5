#include "dataplane/port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace shunt::dataplane {

namespace {

/// The lowest ethdev number of the device.
std::optional<uint16_t> find_port(const std::string& devargs) {
  std::optional<uint16_t> found;
  uint16_t id;
  rte_dev_iterator iterator;
  RTE_ETH_FOREACH_MATCHING_DEV(id, devargs.c_str(), &iterator) {
    if (!found || id < *found) found = id;
  }
  return found;
}

}  // namespace

Result<uint16_t> attach(const std::string& devargs) {
  std::string device = "device " + devargs.substr(0, devargs.find(','));
  // rte_dev_probe() of a device that is there succeeds and does nothing.
  if (find_port(devargs)) return Error{device + ": it is attached already; name each device once"};
  if (int status = rte_dev_probe(devargs.c_str()); status != 0) {
    // Drivers say -1 for anything; it is no errno.
    std::string reason = status == -1 ? "its driver refuses it" : rte_strerror(std::abs(status));
    return Error{device + ": cannot be attached: " + reason +
                 "; check its name and arguments, and that nothing else uses it"};
  }
  if (auto id = find_port(devargs)) return *id;
  return Error{device + ": it was attached but made no Ethernet port; give a network device"};
}

Result<PortPlan> Port::plan(uint16_t ethdev_id, const std::string& name, const PortWish& wish) {
  rte_eth_dev_info info;
  if (int status = rte_eth_dev_info_get(ethdev_id, &info); status != 0)
    return Error{"port " + name +
                 ": asking the device what it can do failed: " + rte_strerror(std::abs(status))};
  return plan_port(name, info, wish);
}

Result<std::unique_ptr<Port>> Port::start(uint16_t ethdev_id, const std::string& name,
                                          const PortWish& wish, rte_mempool* pool) {
  std::unique_ptr<Port> port(new Port(ethdev_id, name));
  auto failed = [&](const std::string& step, int status) {
    return Error{"port " + name + ": " + step + " failed: " + rte_strerror(std::abs(status))};
  };

  rte_eth_dev_info info;
  if (int status = rte_eth_dev_info_get(ethdev_id, &info); status != 0)
    return failed("asking the device what it can do", status);
  auto planned = plan_port(name, info, wish);
  if (!planned) return planned.error();
  const PortPlan& plan = port->x_plan = *planned;
  port->x_socket = rte_eth_dev_socket_id(ethdev_id);

  uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
  uint32_t frame = uint32_t{plan.mtu} + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
  if (room < frame || room < info.min_rx_bufsize)
    return Error{"port " + name + ": an mbuf has room for " + std::to_string(room) +
                 " bytes, but the MTU of " + std::to_string(plan.mtu) + " and the device need " +
                 std::to_string(std::max(frame, info.min_rx_bufsize)) +
                 "; lower the MTU or make the mbufs larger"};

  rte_eth_conf conf{};
  conf.rxmode.mtu = plan.mtu;
  conf.txmode.offloads = plan.tx_offloads;
  if (plan.rss_types != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = plan.rss_types;
  }
  if (int status = rte_eth_dev_configure(ethdev_id, plan.rx_queues, plan.tx_queues, &conf);
      status != 0)
    return failed("configuring " + std::to_string(plan.rx_queues) + " receive and " +
                      std::to_string(plan.tx_queues) + " transmit queues with an MTU of " +
                      std::to_string(plan.mtu),
                  status);
  // Devices that are interfaces of the kernel take an MTU only so, and change the interface's:
  // hence only on a wish.
  int mtu_status = wish.mtu != 0 ? rte_eth_dev_set_mtu(ethdev_id, plan.mtu) : 0;
  if (mtu_status != 0 && mtu_status != -ENOTSUP)
    return failed("setting the MTU to " + std::to_string(plan.mtu), mtu_status);

  auto socket = static_cast<unsigned>(port->x_socket);
  for (uint16_t queue = 0; queue < plan.rx_queues; queue++) {
    rte_eth_rxconf rx = info.default_rxconf;
    int status = rte_eth_rx_queue_setup(ethdev_id, queue, plan.rx_descriptors, socket, &rx, pool);
    if (status != 0) return failed("setting up receive queue " + std::to_string(queue), status);
  }
  for (uint16_t queue = 0; queue < plan.tx_queues; queue++) {
    rte_eth_txconf tx = info.default_txconf;
    tx.offloads = plan.tx_offloads;
    int status = rte_eth_tx_queue_setup(ethdev_id, queue, plan.tx_descriptors, socket, &tx);
    if (status != 0) return failed("setting up transmit queue " + std::to_string(queue), status);
  }

  rte_ether_addr mac;
  if (int status = rte_eth_macaddr_get(ethdev_id, &mac); status != 0)
    return failed("asking for its MAC address", status);
  std::memcpy(port->x_mac.bytes.data(), mac.addr_bytes, sizeof mac.addr_bytes);

  if (int status = rte_eth_dev_start(ethdev_id); status != 0) return failed("starting", status);
  port->x_started = true;
  if (int status = rte_eth_allmulticast_enable(ethdev_id); status != 0 && status != -ENOTSUP)
    return failed("accepting multicast", status);
  return port;
}

Result<void> Port::add_mac(const MacAddress& mac) {
  rte_ether_addr address;
  std::memcpy(address.addr_bytes, mac.bytes.data(), sizeof address.addr_bytes);
  const int status = rte_eth_dev_mac_addr_add(x_id, &address, 0);
  if (status == 0) return {};
  if (status == -ENOTSUP) return Error{"its driver takes no further MAC address"};
  if (status == -ENOSPC) return Error{"its filter of MAC addresses is full"};
  return Error{std::string("its driver refuses the address: ") + rte_strerror(std::abs(status))};
}

void Port::remove_mac(const MacAddress& mac) {
  rte_ether_addr address;
  std::memcpy(address.addr_bytes, mac.bytes.data(), sizeof address.addr_bytes);
  // One that was not added need not go.
  (void)rte_eth_dev_mac_addr_remove(x_id, &address);
}

Port::~Port() {
  if (!x_started) return;
  rte_eth_dev_info info;
  bool known = rte_eth_dev_info_get(x_id, &info) == 0;
  rte_eth_dev_stop(x_id);
  rte_eth_dev_close(x_id);
  if (!known || info.device == nullptr) return;
  uint16_t sibling;
  RTE_ETH_FOREACH_DEV_OF(sibling, info.device) return;
  rte_dev_remove(info.device);
}

}  // namespace shunt::dataplane
