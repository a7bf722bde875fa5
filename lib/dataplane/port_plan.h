// What to ask of an Ethernet device: decided from nothing but what the device says of itself
// (rte_eth_dev_info) and what we wish, so that it can be tested without any device.
//
// Invariant: a plan asks for nothing that the device did not offer. Called by Port::start.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

struct rte_eth_dev_info;

namespace shunt::dataplane {

struct PortWish {
  uint16_t workers = 1;
  uint16_t rx_descriptors = 0;  ///< for each queue; 0: what the device prefers
  uint16_t tx_descriptors = 0;
  /// Bytes; 0: 1500 or the most the device can do, leaving a kernel interface's MTU as it is.
  uint16_t mtu = 0;
  bool one_mempool = false;  ///< all that is ever sent comes from one mempool, with one reference
};

struct PortPlan {
  uint16_t rx_queues;       ///< all of them are polled (queues.h); more than workers only where the
                            ///< device fills all it has, whatever is asked of it
  uint16_t tx_queues;       ///< 1..workers
  uint16_t rx_descriptors;  ///< for each queue
  uint16_t tx_descriptors;
  uint16_t mtu;          ///< the wish, moved into what the device can do
  uint64_t rss_types;    ///< RTE_ETH_RSS_*; 0: the device cannot, or steers better (virtio-net)
  uint64_t tx_offloads;  ///< RTE_ETH_TX_OFFLOAD_*
};

/// Errors: no receive or transmit queue.
Result<PortPlan> plan_port(std::string_view name, const rte_eth_dev_info& info,
                           const PortWish& wish);

}  // namespace shunt::dataplane
