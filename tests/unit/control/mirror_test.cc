// The kernel of a namespace changes; the mirror says so.
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "mirror_rig.h"

namespace shunt::control {
namespace {

TEST_F(MirrorTest, NamesATwinThatDoesNotExist) {
  auto mirror = Mirror::open({{"sh-p0", 0}}, {});
  ASSERT_FALSE(mirror);
  EXPECT_NE(mirror.error().message.find("sh-p0 does not exist"), std::string::npos);
}

TEST_F(MirrorTest, ReportsWhatIsThereAlready) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev tw0; ip addr add 192.0.2.80/32 dev lo;"
           "ip addr add 2001:db8::1/64 dev tw0 nodad;"
           "ip route add default via 10.1.0.254 src 192.0.2.80;"
           "ip route add 10.2.0.0/16 via 10.1.0.2 mtu 1400;"
           "ip route add local 203.0.113.0/28 dev lo;"
           "ip -6 route add default via fe80::99 dev tw0;"
           "ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev tw0"));
  open({{"tw0", 3}});
  EXPECT_EQ(x_reports, 1);

  ASSERT_TRUE(route("10.1.0.0/24"));
  EXPECT_EQ(route("10.1.0.0/24")->port, 3);
  EXPECT_FALSE(route("10.1.0.0/24")->gateway);
  EXPECT_EQ(route("10.1.0.0/24")->source, address("10.1.0.1"));
  ASSERT_TRUE(route("0.0.0.0/0"));
  EXPECT_EQ(route("0.0.0.0/0")->gateway, address("10.1.0.254"));
  EXPECT_EQ(route("0.0.0.0/0")->source, address("192.0.2.80"));
  ASSERT_TRUE(route("10.2.0.0/16"));
  EXPECT_EQ(route("10.2.0.0/16")->mtu, 1400u);
  ASSERT_TRUE(route("::/0"));
  EXPECT_EQ(route("::/0")->gateway, address("fe80::99"));
  EXPECT_TRUE(route("2001:db8::/64"));
  EXPECT_FALSE(route("fe80::/64"));

  ASSERT_TRUE(local("10.1.0.1/32"));
  EXPECT_EQ(local("10.1.0.1/32")->port, 3);
  EXPECT_TRUE(local("2001:db8::1/128"));
  ASSERT_TRUE(local("192.0.2.80/32"));  // a VIP on lo is as local as one on a twin
  EXPECT_EQ(local("192.0.2.80/32")->port, 0);
  EXPECT_TRUE(local("203.0.113.0/28"));
  EXPECT_FALSE(local("10.1.0.1/32")->is_broadcast);
  ASSERT_TRUE(local("10.1.0.255/32"));
  EXPECT_TRUE(local("10.1.0.255/32")->is_broadcast);

  ASSERT_EQ(x_heard.size(), 1u);
  EXPECT_EQ(x_heard[0].port, 3);
  EXPECT_EQ(x_heard[0].neighbour, address("10.1.0.2"));
  EXPECT_EQ(x_heard[0].mac, parse_mac("02:00:00:00:00:02"));
}

TEST_F(MirrorTest, FollowsRoutes) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  open({{"tw0", 0}});
  EXPECT_FALSE(route("10.9.0.0/16"));

  ASSERT_TRUE(here("ip route add 10.9.0.0/16 via 10.1.0.2 metric 50"));
  EXPECT_TRUE(until([&] { return route("10.9.0.0/16") != nullptr; }));
  ASSERT_TRUE(here("ip route add 10.9.0.0/16 via 10.1.0.3 metric 10"));
  EXPECT_TRUE(until([&] { return route("10.9.0.0/16")->gateway == address("10.1.0.3"); }));
  ASSERT_TRUE(here("ip route replace 10.9.0.0/16 via 10.1.0.4 metric 10"));
  EXPECT_TRUE(until([&] { return route("10.9.0.0/16")->gateway == address("10.1.0.4"); }));
  ASSERT_TRUE(here("ip route del 10.9.0.0/16 metric 10"));
  EXPECT_TRUE(until([&] { return route("10.9.0.0/16")->gateway == address("10.1.0.2"); }));
  ASSERT_TRUE(here("ip route del 10.9.0.0/16"));
  EXPECT_TRUE(until([&] { return !route("10.9.0.0/16"); }));

  // Of two with one key the kernel uses the first; the second takes over when it goes.
  ASSERT_TRUE(
      here("ip route add 10.8.0.0/16 via 10.1.0.2; ip route append 10.8.0.0/16 via 10.1.0.3"));
  EXPECT_TRUE(until([&] { return route("10.8.0.0/16") != nullptr; }));
  EXPECT_EQ(route("10.8.0.0/16")->gateway, address("10.1.0.2"));
  ASSERT_TRUE(here("ip route prepend 10.8.0.0/16 via 10.1.0.5"));
  EXPECT_TRUE(until([&] { return route("10.8.0.0/16")->gateway == address("10.1.0.5"); }));
  ASSERT_TRUE(here("ip route del 10.8.0.0/16 via 10.1.0.5; ip route del 10.8.0.0/16 via 10.1.0.2"));
  EXPECT_TRUE(until([&] { return route("10.8.0.0/16")->gateway == address("10.1.0.3"); }));
}

TEST_F(MirrorTest, LeavesOutWhatCannotBeForwarded) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip link add other type veth peer name other2; ip link set other up;"
           "ip addr add 10.1.0.1/24 dev tw0; ip addr add 172.16.0.1/24 dev other;"
           "ip route add blackhole 10.5.0.0/16; ip route add unreachable 10.6.0.0/16;"
           "ip route add 10.7.0.0/16 via 172.16.0.2 metric 1;"
           "ip route add 10.7.0.0/16 via 10.1.0.2 metric 9;"
           "ip route add 10.70.0.0/16 via 10.1.0.2 table 77"));
  open({{"tw0", 0}});
  EXPECT_FALSE(route("10.5.0.0/16"));
  EXPECT_FALSE(route("10.6.0.0/16"));
  EXPECT_FALSE(route("172.16.0.0/24"));
  EXPECT_FALSE(route("10.70.0.0/16"));
  ASSERT_TRUE(route("10.7.0.0/16"));
  EXPECT_EQ(route("10.7.0.0/16")->gateway, address("10.1.0.2"));
  EXPECT_TRUE(local("172.16.0.1/32"));
}

TEST_F(MirrorTest, TakesTheFirstUsableWayOfAMultipathRoute) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip link add tw1 type veth peer name tw1x; ip link set tw1 up;"
           "ip link set tw1x up; ip addr add 10.1.0.1/24 dev tw0;"
           "ip addr add 10.3.0.1/24 dev tw1;"
           "ip -6 addr add 2001:db8:1::1/64 dev tw0 nodad;"
           "ip -6 addr add 2001:db8:3::1/64 dev tw1 nodad;"
           "ip route add 10.4.0.0/16 nexthop via 10.1.0.2 nexthop via 10.3.0.2;"
           "ip -6 route add 2001:db8:4::/48 nexthop via 2001:db8:1::2 nexthop via "
           "2001:db8:3::2"));
  open({{"tw0", 0}, {"tw1", 1}});
  ASSERT_TRUE(route("10.4.0.0/16"));
  EXPECT_EQ(route("10.4.0.0/16")->gateway, address("10.1.0.2"));
  ASSERT_TRUE(here("ip link set tw0 down"));
  EXPECT_TRUE(until([&] {
    return route("10.4.0.0/16") && route("10.4.0.0/16")->gateway == address("10.3.0.2");
  }));
  EXPECT_EQ(route("10.4.0.0/16")->port, 1);
  EXPECT_TRUE(until([&] {
    auto* r = route("2001:db8:4::/48");
    return r && r->gateway == address("2001:db8:3::2");
  }));
  // One way less, one more: IPv6 tells such a change by halves.
  ASSERT_TRUE(
      here("ip -6 route append 2001:db8:4::/48 via 2001:db8:3::3;"
           "ip -6 route del 2001:db8:4::/48 via 2001:db8:3::2"));
  EXPECT_TRUE(until([&] {
    auto* r = route("2001:db8:4::/48");
    return r && r->gateway == address("2001:db8:3::3");
  }));
}

TEST_F(MirrorTest, ALinkThatGoesDownTakesItsRoutesAlong) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev tw0; ip route add 10.9.0.0/16 via 10.1.0.2;"
           "ip addr add 10.1.0.7/24 dev tw0; ip route add 10.10.0.0/16 dev tw0 src 10.1.0.7"));
  open({{"tw0", 0}});
  ASSERT_TRUE(route("10.9.0.0/16"));
  ASSERT_TRUE(route("10.10.0.0/16"));
  // The kernel drops the route that prefers the address, and is silent about it.
  ASSERT_TRUE(here("ip addr del 10.1.0.7/24 dev tw0"));
  EXPECT_TRUE(until([&] { return !route("10.10.0.0/16") && !local("10.1.0.7/32"); }));
  ASSERT_TRUE(here("ip link set tw0 down"));
  EXPECT_TRUE(until([&] { return x_routes.empty() && !route("10.9.0.0/16"); }));
  ASSERT_TRUE(here("ip link set tw0 up"));
  EXPECT_TRUE(until([&] { return route("10.1.0.0/24") != nullptr; }));
}

TEST_F(MirrorTest, ATwinThatIsMadeAnewIsFollowedOn) {
  ASSERT_TRUE(here("ip tuntap add dev tw0 mode tap; ip link set tw0 up"));
  open({{"tw0", 2}});
  ASSERT_TRUE(here("ip link del tw0"));
  ASSERT_TRUE(
      here("ip tuntap add dev tw0 mode tap; ip link set tw0 up; ip addr add 10.1.0.1/24 dev tw0"));
  EXPECT_TRUE(until([&] { return route("10.1.0.0/24") != nullptr; }));
  EXPECT_EQ(route("10.1.0.0/24")->port, 2);
}

TEST_F(MirrorTest, StrangersThatComeAndGoAreNoNews) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  open({{"tw0", 0}});
  ASSERT_TRUE(
      here("ip tuntap add dev foreign mode tap; ip link set foreign up; ip link del foreign"));
  auto end = steady_clock::now() + milliseconds(100);
  until([&] { return steady_clock::now() > end; });
  EXPECT_EQ(x_reports, 1);
}

TEST_F(MirrorTest, ResolvesANeighbourThatAnswers) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0; ip addr add 2001:db8::1/64 dev tw0 nodad"));
  ASSERT_TRUE(
      there("ip link set peer address 02:00:00:00:00:99; ip addr add 10.1.0.2/24 dev peer;"
            "ip addr add 2001:db8::2/64 dev peer nodad"));
  open({{"tw0", 5}});
  for (const char* text : {"10.1.0.2", "2001:db8::2"}) {
    x_mirror->request_neighbour(5, address(text));
    EXPECT_TRUE(until([&] { return heard(text, share::NextHop::kReachable); })) << text;
  }
  for (const Heard& h : x_heard) {
    EXPECT_EQ(h.port, 5);
    EXPECT_EQ(h.mac, parse_mac("02:00:00:00:00:99"));
  }
  // A gateway's failover: another MAC for the same address.
  ASSERT_TRUE(here("ip neigh replace 10.1.0.2 lladdr 02:00:00:00:00:77 nud reachable dev tw0"));
  EXPECT_TRUE(until([&] { return x_heard.back().mac == parse_mac("02:00:00:00:00:77"); }));
  ASSERT_TRUE(here("ip neigh del 10.1.0.2 dev tw0"));
  EXPECT_TRUE(until([&] {
    return heard("10.1.0.2", share::NextHop::kFailed) ||
           heard("10.1.0.2", share::NextHop::kUnresolved);
  }));
}

TEST_F(MirrorTest, SaysThatANeighbourDoesNotAnswerEachTime) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev tw0;"
           "sysctl -qw net.ipv4.neigh.tw0.retrans_time_ms=20"));
  open({{"tw0", 0}});
  x_mirror->request_neighbour(0, address("10.1.0.66"));
  EXPECT_TRUE(until([&] { return heard("10.1.0.66", share::NextHop::kFailed); }));
  EXPECT_FALSE(heard("10.1.0.66", share::NextHop::kUnresolved));
  size_t before = x_heard.size();
  x_mirror->request_neighbour(0, address("10.1.0.66"));
  EXPECT_TRUE(until([&] { return x_heard.size() > before; }));
  EXPECT_EQ(x_heard.back().state, share::NextHop::kFailed);
}

TEST_F(MirrorTest, LeavesTheAdministratorsNeighboursAlone) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev tw0;"
           "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 nud permanent dev tw0"));
  open({{"tw0", 0}});
  EXPECT_EQ(x_mirror->neighbour(0, address("10.1.0.9")), parse_mac("02:00:00:00:00:09"));
  EXPECT_FALSE(x_mirror->neighbour(0, address("10.1.0.8")));
  for (bool keep : {false, true}) {
    x_mirror->request_neighbour(0, address("10.1.0.9"), keep);
    EXPECT_NE(entry_of("10.1.0.9").find("PERMANENT"), std::string::npos) << entry_of("10.1.0.9");
  }
}

TEST_F(MirrorTest, AsksForAnEntryThatIsKeptAndGivesItBack) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  ASSERT_TRUE(there("ip addr add 10.1.0.2/24 dev peer"));
  open({{"tw0", 0}});
  x_mirror->request_neighbour(0, address("10.1.0.2"), true);
  EXPECT_TRUE(until([&] { return heard("10.1.0.2", share::NextHop::kReachable); }));
  EXPECT_NE(entry_of("10.1.0.2").find("extern_learn"), std::string::npos) << entry_of("10.1.0.2");
  x_mirror->request_neighbour(0, address("10.1.0.2"));
  EXPECT_EQ(entry_of("10.1.0.2").find("extern_learn"), std::string::npos) << entry_of("10.1.0.2");
}

TEST_F(MirrorTest, TellsOfInterfacesThatGo) {
  using News = Mirror::LinkNews;
  wire("tw0");
  ASSERT_TRUE(here(
      "ip tuntap add dev nic0 mode tap; ip link set nic0 up; ip tuntap add dev other mode tap"));
  open({{"tw0", 0}}, {"nic0"});
  ASSERT_TRUE(here("ip link del other; ip link set tw0 down"));
  ASSERT_TRUE(until([&] { return x_links.size() == 1; }));
  EXPECT_EQ(x_links[0], std::pair(std::string("tw0"), News::kDown));
  ASSERT_TRUE(here("ip link set tw0 up"));
  ASSERT_TRUE(until([&] { return x_links.size() == 2; }));
  EXPECT_EQ(x_links[1], std::pair(std::string("tw0"), News::kUp));
  // Another one under the same name is another one.
  ASSERT_TRUE(here("ip link del nic0; ip tuntap add dev nic0 mode tap; ip link set nic0 up"));
  ASSERT_TRUE(until([&] { return x_links.size() == 3; }));
  EXPECT_EQ(x_links[2], std::pair(std::string("nic0"), News::kDeleted));
  ASSERT_TRUE(here("ip link del tw0"));
  ASSERT_TRUE(until([&] { return x_links.size() == 4; }));
  EXPECT_EQ(x_links[3], std::pair(std::string("tw0"), News::kDeleted));
}

TEST_F(MirrorTest, SurvivesMoreNewsThanFit) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  open({{"tw0", 0}});
  int tiny = 1;
  ASSERT_EQ(setsockopt(x_mirror->fd(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny), 0);
  ASSERT_TRUE(
      here("for i in $(seq 0 199); do echo route add 10.99.$i.0/24 via 10.1.0.2; done |"
           "ip -batch -; ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev tw0"));
  EXPECT_TRUE(until([&] { return route("10.99.199.0/24") != nullptr; }));
  for (int i = 0; i < 200; i++)
    EXPECT_TRUE(route(("10.99." + std::to_string(i) + ".0/24").c_str())) << i;
  EXPECT_TRUE(heard("10.1.0.2", share::NextHop::kReachable));
  EXPECT_EQ(x_reports, 2);
}

TEST_F(MirrorTest, ABurstIsOneReport) {
  wire("tw0");
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev tw0"));
  sd_event* event = nullptr;
  ASSERT_GE(sd_event_new(&event), 0);
  open({{"tw0", 0}});
  ASSERT_TRUE(x_mirror->attach(event));
  ASSERT_TRUE(
      here("for i in $(seq 0 99); do echo route add 10.99.$i.0/24 via 10.1.0.2; done |"
           "ip -batch -"));
  auto end = steady_clock::now() + milliseconds(2000);
  while (!route("10.99.99.0/24") && steady_clock::now() < end) sd_event_run(event, 50'000);
  EXPECT_TRUE(route("10.99.0.0/24"));
  EXPECT_EQ(x_reports, 2);
  x_mirror.reset();
  sd_event_unref(event);
}

TEST_F(MirrorTest, AsksForTheSourceAddress) {
  wire("tw0");
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev tw0; ip addr add 10.1.0.9/24 dev tw0;"
           "ip addr add 2001:db8::1/64 dev tw0 nodad;"
           "ip route add 10.2.0.0/16 via 10.1.0.2 src 10.1.0.9"));
  open({{"tw0", 0}});
  EXPECT_EQ(x_mirror->source_address(address("10.1.0.50")).value(), address("10.1.0.1"));
  EXPECT_EQ(x_mirror->source_address(address("10.2.0.50")).value(), address("10.1.0.9"));
  EXPECT_EQ(x_mirror->source_address(address("2001:db8::50")).value(), address("2001:db8::1"));
  auto none = x_mirror->source_address(address("198.51.100.1"));
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("198.51.100.1"), std::string::npos) << none.error().message;
}

}  // namespace
}  // namespace shunt::control
