// Ports on devices that need no hardware.
#include "dataplane/port.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "../eal_environment.h"

namespace shunt::dataplane {
namespace {

class PortTest : public testing::Test {
 protected:
  static rte_mempool* pool(uint16_t room = RTE_MBUF_DEFAULT_DATAROOM) {
    static int serial;
    std::string name = "port_test_" + std::to_string(serial++);
    auto* made = rte_pktmbuf_pool_create(name.c_str(), 4095, 0, 0,
                                         static_cast<uint16_t>(room + RTE_PKTMBUF_HEADROOM), -1);
    EXPECT_NE(made, nullptr);
    return made;
  }

  static std::unique_ptr<Port> started(uint16_t id, const PortWish& wish, rte_mempool* mbufs) {
    auto port = Port::start(id, "p", wish, mbufs);
    if (!port) ADD_FAILURE() << port.error().message;
    return port ? std::move(*port) : nullptr;
  }
};

TEST_F(PortTest, StartsReceivesSendsAndStops) {
  auto* mbufs = pool();
  auto id = attach("net_null0,size=100,copy=0");
  ASSERT_TRUE(id) << id.error().message;
  {
    auto port = started(*id, {.workers = 3, .rx_descriptors = 256, .tx_descriptors = 256}, mbufs);
    ASSERT_NE(port, nullptr);
    EXPECT_EQ(port->id(), *id);
    EXPECT_EQ(port->name(), "p");
    EXPECT_EQ(port->rx_queues(), 3);
    EXPECT_EQ(port->tx_queues(), 3);
    EXPECT_EQ(port->mtu(), 1500);
    EXPECT_NE(port->mac(), MacAddress{});
    EXPECT_FALSE(port->mac().is_multicast());
    rte_mbuf* burst[8];
    for (uint16_t queue = 0; queue < 3; queue++) {
      uint16_t n = rte_eth_rx_burst(port->id(), queue, burst, 8);
      ASSERT_EQ(n, 8);
      EXPECT_EQ(rte_pktmbuf_pkt_len(burst[0]), 100u);
      EXPECT_EQ(rte_eth_tx_burst(port->id(), queue, burst, n), n);
    }
  }
  EXPECT_FALSE(rte_eth_dev_is_valid_port(*id));
  EXPECT_EQ(rte_mempool_in_use_count(mbufs), 0u);
  rte_mempool_free(mbufs);
}

TEST_F(PortTest, ARingDeviceHasAQueueForEachRing) {
  auto* mbufs = pool();
  rte_ring* rings[2];
  for (int i = 0; i < 2; i++) {
    rings[i] = rte_ring_create(("port_test_ring_" + std::to_string(i)).c_str(), 64, -1, 0);
    ASSERT_NE(rings[i], nullptr);
  }
  int id = rte_eth_from_rings("port_test_rings", rings, 1, rings, 2, 0);
  ASSERT_GE(id, 0);
  {
    auto port = started(static_cast<uint16_t>(id), {.workers = 3}, mbufs);
    ASSERT_NE(port, nullptr);
    EXPECT_EQ(port->rx_queues(), 1);
    EXPECT_EQ(port->tx_queues(), 2);
    EXPECT_EQ(port->plan().rss_types, 0u);
    rte_mbuf* sent = rte_pktmbuf_alloc(mbufs);
    ASSERT_EQ(rte_eth_tx_burst(port->id(), 0, &sent, 1), 1);
    rte_mbuf* received = nullptr;
    ASSERT_EQ(rte_eth_rx_burst(port->id(), 0, &received, 1), 1);
    EXPECT_EQ(received, sent);
    rte_pktmbuf_free(received);
  }
  for (auto* ring : rings) rte_ring_free(ring);
  rte_mempool_free(mbufs);
}

// Real devices have a filter for some; net_ring takes one, net_null none.
TEST_F(PortTest, TakesFurtherMacAddressesOrSaysWhyNot) {
  auto* mbufs = pool();
  auto* ring = rte_ring_create("port_test_macs", 64, -1, 0);
  ASSERT_NE(ring, nullptr);
  const int id = rte_eth_from_rings("port_test_macs", &ring, 1, &ring, 1, 0);
  ASSERT_GE(id, 0);
  auto null = attach("net_null0");
  ASSERT_TRUE(null) << null.error().message;
  {
    auto port = started(static_cast<uint16_t>(id), {}, mbufs);
    ASSERT_NE(port, nullptr);
    const MacAddress mac{{2, 0, 0, 0, 1, 0}};
    EXPECT_TRUE(port->add_mac(mac));
    port->remove_mac(mac);
    EXPECT_TRUE(port->add_mac(mac));
    auto zero = port->add_mac(MacAddress{});
    ASSERT_FALSE(zero);
    EXPECT_EQ(zero.error().message, "its driver refuses the address: Invalid argument");
    auto bare = started(*null, {}, mbufs);
    ASSERT_NE(bare, nullptr);
    auto none = bare->add_mac(mac);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().message, "its driver takes no further MAC address");
  }
  rte_ring_free(ring);
  rte_mempool_free(mbufs);
}

TEST_F(PortTest, AttachesARingDevice) {
  auto* mbufs = pool();
  auto id = attach("net_ring7");
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_NE(started(*id, {.workers = 1}, mbufs), nullptr);
  rte_mempool_free(mbufs);
}

TEST_F(PortTest, AttachNamesTheDeviceItCannotHave) {
  for (const char* devargs : {"net_nonsense0,size=1", "0000:ff:1f.7", "net_null3,nonsense=1"}) {
    auto id = attach(devargs);
    ASSERT_FALSE(id) << devargs;
    std::string device = std::string(devargs).substr(0, std::string(devargs).find(','));
    EXPECT_EQ(id.error().message.find("device " + device + ": cannot be attached: "), 0u)
        << id.error().message;
  }
}

TEST_F(PortTest, AttachTwiceIsRefusedAndTellsWhy) {
  auto* mbufs = pool();
  auto id = attach("net_null4");
  ASSERT_TRUE(id) << id.error().message;
  auto again = attach("net_null4");
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("device net_null4: it is attached already"),
            std::string::npos)
      << again.error().message;
  EXPECT_NE(started(*id, {}, mbufs), nullptr);
  EXPECT_FALSE(rte_eth_dev_is_valid_port(*id));
  auto anew = attach("net_null4");  // its port was closed, which detached it
  ASSERT_TRUE(anew) << anew.error().message;
  EXPECT_NE(started(*anew, {}, mbufs), nullptr);
  rte_mempool_free(mbufs);
}

TEST_F(PortTest, RefusesMbufsTooSmallForTheMtu) {
  auto* small = pool(1024);
  auto id = attach("net_null5");
  ASSERT_TRUE(id) << id.error().message;
  auto refused = Port::start(*id, "outside", {}, small);
  ASSERT_FALSE(refused);
  EXPECT_EQ(
      refused.error().message,
      "port outside: an mbuf has room for 1024 bytes, but the MTU of 1500 and the device need "
      "1518; lower the MTU or make the mbufs larger");
  EXPECT_NE(started(*id, {.mtu = 1000}, small), nullptr);
  rte_mempool_free(small);
}

TEST_F(PortTest, NoSuchPort) {
  auto* mbufs = pool();
  auto refused = Port::start(RTE_MAX_ETHPORTS - 1, "ghost", {}, mbufs);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("port ghost: "), 0u) << refused.error().message;
  rte_mempool_free(mbufs);
}

}  // namespace
}  // namespace shunt::dataplane
