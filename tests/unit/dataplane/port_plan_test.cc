// plan_port on devices that never existed.
#include "dataplane/port_plan.h"

#include <gtest/gtest.h>
#include <rte_ethdev.h>

#include <string>
#include <vector>

#include "share/bounds.h"

namespace shunt::dataplane {
namespace {

/// A physical NIC that can do everything, within ethdev's defaults.
rte_eth_dev_info able_nic() {
  rte_eth_dev_info info{};
  info.max_rx_queues = info.max_tx_queues = 16;
  info.rx_desc_lim = info.tx_desc_lim = {.nb_max = 4096, .nb_min = 64, .nb_align = 32};
  info.default_rxportconf.ring_size = info.default_txportconf.ring_size = 512;
  info.min_mtu = 68;
  info.max_mtu = 9702;
  info.max_rx_pktlen = 9728;
  info.reta_size = 512;
  info.flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP |
                                RTE_ETH_RSS_SCTP | RTE_ETH_RSS_L2_PAYLOAD;
  info.tx_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE | RTE_ETH_TX_OFFLOAD_TCP_TSO;
  return info;
}

constexpr uint64_t kAllRss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

struct Case {
  const char* name;
  void (*change)(rte_eth_dev_info&);
  PortWish wish;
  PortPlan plan;
};

const std::vector<Case> kCases = {
    {"as it comes, one worker: no RSS", [](rte_eth_dev_info&) {}, {}, {1, 1, 512, 512, 1500, 0, 0}},
    {"four workers", [](rte_eth_dev_info&) {}, {.workers = 4}, {4, 4, 512, 512, 1500, kAllRss, 0}},
    {"one mempool",
     [](rte_eth_dev_info&) {},
     {.one_mempool = true},
     {1, 1, 512, 512, 1500, 0, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE}},
    {"one mempool, but no fast free",
     [](rte_eth_dev_info& i) { i.tx_offload_capa = 0; },
     {.one_mempool = true},
     {1, 1, 512, 512, 1500, 0, 0}},
    {"fewer receive queues than workers",
     [](rte_eth_dev_info& i) { i.max_rx_queues = 2; },
     {.workers = 3},
     {2, 3, 512, 512, 1500, kAllRss, 0}},
    {"fewer transmit queues than workers",
     [](rte_eth_dev_info& i) { i.max_tx_queues = 1; },
     {.workers = 3},
     {3, 1, 512, 512, 1500, kAllRss, 0}},
    {"as many queues as workers",
     [](rte_eth_dev_info&) {},
     {.workers = 16},
     {16, 16, 512, 512, 1500, kAllRss, 0}},
    {"one worker more than queues",
     [](rte_eth_dev_info&) {},
     {.workers = 17},
     {16, 16, 512, 512, 1500, kAllRss, 0}},
    {"the most workers, and more queues",
     [](rte_eth_dev_info& i) { i.max_rx_queues = i.max_tx_queues = 1024; },
     {.workers = share::kMaxWorkers},
     {127, 127, 512, 512, 1500, kAllRss, 0}},
    {"a TAP and one worker less than its queues",
     [](rte_eth_dev_info& i) { i.driver_name = "net_tap"; },
     {.workers = share::kMaxTapQueues - 1},
     {3, 3, 512, 512, 1500, kAllRss, 0}},
    {"a TAP and as many workers as queues",
     [](rte_eth_dev_info& i) { i.driver_name = "net_tap"; },
     {.workers = share::kMaxTapQueues},
     {4, 4, 512, 512, 1500, kAllRss, 0}},
    {"a TAP, whose driver says 16 and bears 4",
     [](rte_eth_dev_info& i) { i.driver_name = "net_tap"; },
     {.workers = share::kMaxTapQueues + 1},
     {4, 4, 512, 512, 1500, kAllRss, 0}},
    {"packet sockets: all that exist are read",
     [](rte_eth_dev_info& i) { i.driver_name = "net_af_packet", i.reta_size = 0; },
     {.workers = 5},
     {16, 5, 512, 512, 1500, 0, 0}},
    {"one receive queue for many workers",
     [](rte_eth_dev_info& i) { i.max_rx_queues = 1; },
     {.workers = 3},
     {1, 3, 512, 512, 1500, 0, 0}},
    {"one queue each, one worker",
     [](rte_eth_dev_info& i) { i.max_rx_queues = i.max_tx_queues = 1; },
     {.workers = 1},
     {1, 1, 512, 512, 1500, 0, 0}},
    {"no RSS types",
     [](rte_eth_dev_info& i) { i.flow_type_rss_offloads = 0; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, 0, 0}},
    {"no redirection table",
     [](rte_eth_dev_info& i) { i.reta_size = 0; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, 0, 0}},
    {"RSS of addresses only",
     [](rte_eth_dev_info& i) { i.flow_type_rss_offloads = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_ESP; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, RTE_ETH_RSS_IPV4, 0}},
    {"virtio-net that offers RSS: its own steering returns a flow to the queue that sends it",
     [](rte_eth_dev_info& i) { i.driver_name = "net_virtio"; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, 0, 0}},
    {"virtio-net of the process itself",
     [](rte_eth_dev_info& i) { i.driver_name = "net_virtio_user"; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, 0, 0}},
    {"another driver that offers RSS",
     [](rte_eth_dev_info& i) { i.driver_name = "net_vmxnet3"; },
     {.workers = 2},
     {2, 2, 512, 512, 1500, kAllRss, 0}},
    {"wished descriptors",
     [](rte_eth_dev_info&) {},
     {.rx_descriptors = 1024, .tx_descriptors = 2048},
     {1, 1, 1024, 2048, 1500, 0, 0}},
    {"descriptors rounded up to the alignment",
     [](rte_eth_dev_info&) {},
     {.rx_descriptors = 1000, .tx_descriptors = 1},
     {1, 1, 1024, 64, 1500, 0, 0}},
    {"descriptors beyond the limit",
     [](rte_eth_dev_info&) {},
     {.rx_descriptors = 65535, .tx_descriptors = 4097},
     {1, 1, 4096, 4096, 1500, 0, 0}},
    {"odd alignment: down where up is too many",
     [](rte_eth_dev_info& i) { i.rx_desc_lim = {.nb_max = 1000, .nb_min = 7, .nb_align = 48}; },
     {.rx_descriptors = 999, .tx_descriptors = 64},
     {1, 1, 960, 64, 1500, 0, 0}},
    {"odd alignment: the least",
     [](rte_eth_dev_info& i) { i.tx_desc_lim = {.nb_max = 1000, .nb_min = 50, .nb_align = 48}; },
     {.rx_descriptors = 64, .tx_descriptors = 1},
     {1, 1, 64, 96, 1500, 0, 0}},
    {"no limits and no preference",
     [](rte_eth_dev_info& i) {
       i.rx_desc_lim = i.tx_desc_lim = {};
       i.default_rxportconf.ring_size = i.default_txportconf.ring_size = 0;
     },
     {.tx_descriptors = 3},
     {1, 1, 1024, 3, 1500, 0, 0}},
    {"jumbo", [](rte_eth_dev_info&) {}, {.mtu = 9000}, {1, 1, 512, 512, 9000, 0, 0}},
    {"an MTU beyond the device's",
     [](rte_eth_dev_info&) {},
     {.mtu = 65535},
     {1, 1, 512, 512, 9702, 0, 0}},
    {"tiny greatest MTU",
     [](rte_eth_dev_info& i) { i.max_mtu = 576, i.max_rx_pktlen = 594; },
     {},
     {1, 1, 512, 512, 576, 0, 0}},
    {"an MTU below the device's",
     [](rte_eth_dev_info&) {},
     {.mtu = 20},
     {1, 1, 512, 512, 68, 0, 0}},
    {"an unknown greatest MTU, a short greatest frame",
     [](rte_eth_dev_info& i) { i.max_mtu = UINT16_MAX, i.max_rx_pktlen = 1514; },
     {},
     {1, 1, 512, 512, 1496, 0, 0}},
    {"no limit of frames",
     [](rte_eth_dev_info& i) { i.max_mtu = UINT16_MAX, i.max_rx_pktlen = UINT32_MAX; },
     {.mtu = 9000},
     {1, 1, 512, 512, 9000, 0, 0}},
};

TEST(PortPlan, AsksForWhatIsOfferedOnly) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    rte_eth_dev_info info = able_nic();
    c.change(info);
    auto plan = plan_port("uplink", info, c.wish);
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->rx_queues, c.plan.rx_queues);
    EXPECT_EQ(plan->tx_queues, c.plan.tx_queues);
    EXPECT_EQ(plan->rx_descriptors, c.plan.rx_descriptors);
    EXPECT_EQ(plan->tx_descriptors, c.plan.tx_descriptors);
    EXPECT_EQ(plan->mtu, c.plan.mtu);
    EXPECT_EQ(plan->rss_types, c.plan.rss_types);
    EXPECT_EQ(plan->tx_offloads, c.plan.tx_offloads);
  }
}

TEST(PortPlan, RefusesInASentence) {
  struct Refusal {
    uint16_t rx, tx, workers;
    const char* message;
  };
  for (const Refusal& r : {
           Refusal{0, 4, 1, "port uplink: its device has no receive queue"},
           Refusal{4, 0, 1, "port uplink: its device has no transmit queue"},
       }) {
    rte_eth_dev_info info = able_nic();
    info.max_rx_queues = r.rx, info.max_tx_queues = r.tx;
    auto plan = plan_port("uplink", info, {.workers = r.workers});
    ASSERT_FALSE(plan) << r.message;
    EXPECT_EQ(plan.error().message, r.message);
  }
}

}  // namespace
}  // namespace shunt::dataplane
