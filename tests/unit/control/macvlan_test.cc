// Macvlans on a twin: their MAC addresses, addresses, routes and neighbours are the port's.
#include <net/if.h>

#include "control/unicast_filter.h"
#include "mirror_rig.h"

namespace shunt::control {
namespace {

using share::NextHop;

const MacAddress kVrrp4 = *parse_mac("00:00:5e:00:01:33"), kVrrp6 = *parse_mac("00:00:5e:00:02:33");

class MacvlanTest : public MirrorTest {
 protected:
  /// Two twins, of ports 3 and 4.
  void SetUp() override {
    MirrorTest::SetUp();
    if (IsSkipped()) return;
    wire("tw0");
    ASSERT_TRUE(here("ip link add tw1 type veth peer name tw1.far; ip link set tw1 up"));
    if (!here("ip link add probe link tw0 type macvlan && ip link del probe"))
      GTEST_SKIP() << "this kernel makes no macvlan";
    ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  }
  void open_both() { open({{"tw0", 3}, {"tw1", 4}}); }
  static bool make(const std::string& name, const std::string& twin, const MacAddress& mac,
                   const std::string& mode = "private") {
    return here("ip link add " + name + " link " + twin + " address " + to_string(mac) +
                " type macvlan mode " + mode + " && ip link set " + name + " up");
  }
};

TEST_F(MacvlanTest, GivesItsPortAMacAddressWhileItIsUp) {
  ASSERT_TRUE(make("vrrp.51", "tw0", kVrrp4));
  ASSERT_TRUE(make("other", "tw1", kVrrp4, "bridge"));
  open_both();
  EXPECT_EQ(x_macs, (std::vector<TwinMac>{{3, kVrrp4, "vrrp.51"}, {4, kVrrp4, "other"}}))
      << "those that were there";
  ASSERT_TRUE(make("vrrp6.51", "tw0", kVrrp6));
  EXPECT_TRUE(until([&] { return x_macs.size() == 3; }));
  ASSERT_TRUE(here("ip link set vrrp.51 down"));
  EXPECT_TRUE(until([&] { return x_macs.size() == 2; }));
  EXPECT_EQ(x_macs[0], (TwinMac{3, kVrrp6, "vrrp6.51"}));
  ASSERT_TRUE(here("ip link set vrrp.51 up; ip link set vrrp6.51 address 00:00:5e:00:02:34"));
  EXPECT_TRUE(until([&] { return x_macs.size() == 3; }));
  EXPECT_EQ(x_macs[1].mac, parse_mac("00:00:5e:00:02:34"));
  ASSERT_TRUE(here("ip link del vrrp.51; ip link del vrrp6.51; ip link del other"));
  EXPECT_TRUE(until([&] { return x_macs.empty(); }));
}

TEST_F(MacvlanTest, GivesNoneFromElsewhere) {
  open_both();
  ASSERT_TRUE(here("ip link add d0 type bridge; ip link set d0 up"));
  ASSERT_TRUE(make("of_d0", "d0", kVrrp4));
  ASSERT_TRUE(make("moved", "tw0", kVrrp6));
  EXPECT_TRUE(until([&] { return x_macs.size() == 1; }));
  EXPECT_EQ(x_macs[0].interface, "moved");
  ASSERT_TRUE(here("ip link set moved netns " + std::to_string(x_peer)));
  EXPECT_TRUE(until([&] { return x_macs.empty(); }));
  // The peer's veth has the index of tw0's peer below it: a macvlan there is of another namespace.
  ASSERT_TRUE(there("ip link add back link peer type macvlan"));
  ASSERT_TRUE(there("ip link set back netns " + std::to_string(getpid())));
  ASSERT_TRUE(here("ip link set back up"));
  ASSERT_TRUE(make("last", "tw1", kVrrp4));
  EXPECT_TRUE(until([&] { return !x_macs.empty(); }));
  EXPECT_EQ(x_macs, (std::vector<TwinMac>{{4, kVrrp4, "last"}}));
}

TEST_F(MacvlanTest, AddressesAndRoutesAreThePorts) {
  open_both();
  ASSERT_TRUE(make("vrrp.51", "tw0", kVrrp4));
  ASSERT_TRUE(
      here("ip addr add 192.0.2.100/24 dev vrrp.51; ip addr add 10.1.0.100/32 dev vrrp.51;"
           "ip route add 10.9.0.0/16 via 192.0.2.9"));
  EXPECT_TRUE(until([&] { return route("10.9.0.0/16") != nullptr; }));
  ASSERT_TRUE(local("192.0.2.100/32"));
  EXPECT_EQ(local("192.0.2.100/32")->port, 3);
  ASSERT_TRUE(local("10.1.0.100/32"));
  EXPECT_EQ(local("10.1.0.100/32")->port, 3);
  ASSERT_TRUE(route("192.0.2.0/24"));
  EXPECT_EQ(route("192.0.2.0/24")->port, 3);
  EXPECT_EQ(route("10.9.0.0/16")->port, 3);
  EXPECT_EQ(route("10.9.0.0/16")->gateway, address("192.0.2.9"));
  // The backup of a virtual router has the macvlan, and not its addresses.
  ASSERT_TRUE(
      here("ip addr del 10.1.0.100/32 dev vrrp.51; ip addr del 192.0.2.100/24 dev vrrp.51"));
  EXPECT_TRUE(until([&] { return !local("192.0.2.100/32") && !route("192.0.2.0/24"); }));
  EXPECT_FALSE(local("10.1.0.100/32"));
  EXPECT_EQ(x_macs.size(), 1u);
}

TEST_F(MacvlanTest, NeighboursAreAskedForWhereTheRouteGoes) {
  ASSERT_TRUE(there("ip addr add 192.0.2.2/24 dev peer; ip addr add 10.1.0.2/24 dev peer"));
  ASSERT_TRUE(make("vrrp.51", "tw0", kVrrp4));
  ASSERT_TRUE(here("ip addr add 192.0.2.100/24 dev vrrp.51"));
  open_both();
  for (const char* neighbour : {"192.0.2.2", "10.1.0.2"}) {
    x_mirror->request_neighbour(3, address(neighbour));
    EXPECT_TRUE(until([&] { return heard(neighbour, NextHop::kReachable); })) << neighbour;
    EXPECT_TRUE(x_mirror->neighbour(3, address(neighbour)));
  }
  EXPECT_NE(entry_of("192.0.2.2 dev vrrp.51").find("lladdr"), std::string::npos);
  EXPECT_EQ(entry_of("192.0.2.2 dev tw0"), "");
  EXPECT_NE(entry_of("10.1.0.2 dev tw0").find("lladdr"), std::string::npos);
  // With the macvlan goes what is known there alone.
  x_heard.clear();
  ASSERT_TRUE(here("ip link del vrrp.51"));
  EXPECT_TRUE(until([&] { return heard("192.0.2.2", NextHop::kUnresolved); }));
  EXPECT_FALSE(heard("10.1.0.2", NextHop::kUnresolved));
}

TEST_F(MacvlanTest, ANeighbourIsKnownAsLongAsOneInterfaceKnowsIt) {
  ASSERT_TRUE(make("vrrp.51", "tw0", kVrrp4));
  ASSERT_TRUE(
      here("ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev tw0;"
           "ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev vrrp.51"));
  open_both();
  x_heard.clear();
  ASSERT_TRUE(here("ip neigh del 10.1.0.2 dev vrrp.51"));
  EXPECT_TRUE(until([&] { return !x_heard.empty(); }));
  EXPECT_TRUE(heard("10.1.0.2", NextHop::kReachable));
  EXPECT_FALSE(heard("10.1.0.2", NextHop::kUnresolved));
  ASSERT_TRUE(here("ip neigh del 10.1.0.2 dev tw0"));
  EXPECT_TRUE(until([&] { return heard("10.1.0.2", NextHop::kUnresolved); }));
}

// What a kernel interface is told to receive, without promiscuous mode.
TEST_F(MacvlanTest, AnInterfaceReceivesForFurtherAddresses) {
  const auto has = [](const char* mac) {
    return output("bridge fdb show dev tw1").find(mac) != std::string::npos ||
           output("ip -d link show tw1").find("promiscuity 1") != std::string::npos;
  };
  auto filter = UnicastFilter::open("tw1");
  ASSERT_TRUE(filter) << filter.error().message;
  EXPECT_FALSE(has("00:00:5e:00:01:33"));
  ASSERT_TRUE(filter->add(kVrrp4));
  EXPECT_TRUE(has("00:00:5e:00:01:33")) << output("bridge fdb show dev tw1; ip -d link show tw1");
  filter->remove(kVrrp4);
  EXPECT_FALSE(has("00:00:5e:00:01:33"));
  ASSERT_TRUE(here("ip link del tw1"));
  auto gone = filter->add(kVrrp4);
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message.find("tw1"), std::string::npos);
}

}  // namespace
}  // namespace shunt::control
