#include "dataplane/port_plan.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <string>

#include "share/bounds.h"

namespace shunt::dataplane {

namespace {

constexpr uint16_t kUsualDescriptors = 1024;
constexpr std::string_view kVirtioDrivers = "net_virtio";  // net_virtio_user is one, too
constexpr uint64_t kRssTypes = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

/// What drivers do not say of themselves.
struct DriverQueues {
  std::string_view driver;
  uint16_t most;         ///< in each direction; 0: what it says
  bool receives_on_all;  ///< packets come on every queue that was made with the device
};
constexpr DriverQueues kDriverQueues[] = {
    {"net_tap", share::kMaxTapQueues, false},
    {"net_af_packet", 0, true},
    {"net_ring", 0, true},
};

DriverQueues queues_of(const rte_eth_dev_info& info) {
  const std::string_view name = info.driver_name ? info.driver_name : "";
  for (const DriverQueues& row : kDriverQueues)
    if (row.driver == name) return row;
  return {};
}

/// `wish` moved between the limits and onto the alignment. Limits of 0 mean none.
uint16_t fit_descriptors(uint16_t wish, uint16_t preferred, const rte_eth_desc_lim& limits) {
  uint32_t wanted = wish != 0 ? wish : preferred != 0 ? preferred : kUsualDescriptors;
  uint32_t most = limits.nb_max != 0 ? limits.nb_max : UINT16_MAX;
  uint32_t step = limits.nb_align != 0 ? limits.nb_align : 1;
  wanted = std::min(std::max<uint32_t>(wanted, limits.nb_min), most);
  uint32_t up = (wanted + step - 1) / step * step;
  return static_cast<uint16_t>(up <= most ? up : wanted / step * step);
}

/// Largest frame less MTU, as ethdev reckons it when it checks an MTU.
uint32_t overhead(const rte_eth_dev_info& info) {
  if (info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu)
    return info.max_rx_pktlen - info.max_mtu;
  return RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
}

uint16_t fit_mtu(uint16_t wish, const rte_eth_dev_info& info) {
  uint32_t most = info.max_mtu != 0 ? info.max_mtu : UINT16_MAX;
  if (info.max_rx_pktlen > overhead(info))
    most = std::min(most, info.max_rx_pktlen - overhead(info));
  uint32_t wanted = wish != 0 ? wish : RTE_ETHER_MTU;
  return static_cast<uint16_t>(std::min(std::max<uint32_t>(wanted, info.min_mtu), most));
}

// A virtio-net device that is not asked for RSS delivers the packets of a flow to the queue pair
// that last sent packets of it (the virtio specification's automatic receive steering). This
// is the queue of the flow's owner, so it saves the mailbox, too.
//
// RSS of QEMU's device loses wakeups. The host's interface steers by the sending queue in any case:
// a frame comes in by queue i of the TAP interface, and QEMU computes RSS and delivers it to
// receive queue j. If queue j has no free buffer, QEMU stops reading queue i of the interface; when
// the driver adds buffers to queue j, QEMU resumes queue j, and never queue i. From then on all
// flows that worker i sends receive nothing. A driver that sends a flow by the queue that received
// it does not meet this, but an owner sends by its own queue.
bool steers_by_sending_queue(const rte_eth_dev_info& info) {
  return info.driver_name != nullptr &&
         std::string_view(info.driver_name).starts_with(kVirtioDrivers);
}

}  // namespace

Result<PortPlan> plan_port(std::string_view name, const rte_eth_dev_info& info,
                           const PortWish& wish) {
  std::string port = "port " + std::string(name);
  if (info.max_rx_queues == 0) return Error{port + ": its device has no receive queue"};
  if (info.max_tx_queues == 0) return Error{port + ": its device has no transmit queue"};
  const DriverQueues driver = queues_of(info);
  const uint16_t most = driver.most != 0 ? driver.most : UINT16_MAX;
  const uint16_t wanted = std::clamp<uint16_t>(wish.workers, 1, most);
  PortPlan plan{};
  plan.tx_queues = std::min(wanted, info.max_tx_queues);
  plan.rx_queues =
      driver.receives_on_all ? info.max_rx_queues : std::min(wanted, info.max_rx_queues);
  plan.rx_descriptors =
      fit_descriptors(wish.rx_descriptors, info.default_rxportconf.ring_size, info.rx_desc_lim);
  plan.tx_descriptors =
      fit_descriptors(wish.tx_descriptors, info.default_txportconf.ring_size, info.tx_desc_lim);
  plan.mtu = fit_mtu(wish.mtu, info);
  if (plan.rx_queues > 1 && info.reta_size > 0 && !steers_by_sending_queue(info))
    plan.rss_types = kRssTypes & info.flow_type_rss_offloads;
  if (wish.one_mempool) plan.tx_offloads = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE & info.tx_offload_capa;
  return plan;
}

}  // namespace shunt::dataplane
