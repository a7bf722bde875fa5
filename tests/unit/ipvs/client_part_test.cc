#include "ipvs/client_part.h"

#include <gtest/gtest.h>

#include "services.h"

namespace shunt::ipvs {
namespace {

std::string network4(const char* address, uint32_t netmask) {
  return to_string(Address(network_of<net::V4>(parse_address(address)->v4(), netmask)));
}

std::string network6(const char* address, uint32_t length) {
  return to_string(Address(network_of<net::V6>(parse_address(address)->v6(), length)));
}

TEST(ClientPart, MasksIpv4ByAnyMask) {
  EXPECT_EQ(network4("203.0.113.250", 0xffffffff), "203.0.113.250");
  EXPECT_EQ(network4("203.0.113.250", 0xffffff00), "203.0.113.0");
  EXPECT_EQ(network4("203.0.113.250", 0xfffffff0), "203.0.113.240");
  EXPECT_EQ(network4("203.0.113.250", 0x00000018), "0.0.0.24");
  EXPECT_EQ(network4("203.0.113.250", 0), "0.0.0.0");
}

TEST(ClientPart, MasksIpv6ByLength) {
  const char* all_ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  EXPECT_EQ(network6(all_ones, 128), all_ones);
  EXPECT_EQ(network6(all_ones, 127), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
  EXPECT_EQ(network6(all_ones, 64), "ffff:ffff:ffff:ffff::");
  EXPECT_EQ(network6(all_ones, 60), "ffff:ffff:ffff:fff0::");
  EXPECT_EQ(network6(all_ones, 1), "8000::");
  EXPECT_EQ(network6(all_ones, 0), "::");
}

class Parts : public testing::Test {
 protected:
  using Masks = std::vector<uint32_t>;  // 0: the whole endpoint

  static Masks masks(const ServiceTable::Parts& parts) {
    Masks out;
    for (size_t i = 0; i < parts.size(); i++)
      out.push_back(parts[i].is_network ? parts[i].netmask : 0);
    return out;
  }
  /// In order.
  static Masks replies(const ServiceTable& table, const char* server, uint16_t port) {
    Masks all =
        masks(table.reply_parts<net::V4>(net::kTcp, parse_address(server)->v4(), be16(port)));
    std::erase(all, 0u);  // the whole endpoint may be missing
    std::sort(all.begin(), all.end());
    return all;
  }
  static std::shared_ptr<Service> service(uint16_t port, uint32_t netmask, const char* server,
                                          uint16_t server_port) {
    auto made = std::make_shared<Service>(service_at("198.51.100.1", port));
    if (netmask) made->flags |= kPersistent, made->netmask = netmask;
    add(*made, server_at(port, server, server_port));
    return made;
  }
};

TEST_F(Parts, OfAServerAreThoseOfAllItsServices) {
  auto edited = service(81, 0xffffff00, "10.1.0.1", 80);
  edited->former_parts = {{true, 0xffff0000}, {}};
  const ServiceTable table({service(80, 0xffffffff, "10.1.0.1", 80), edited,
                            service(82, 0, "10.1.0.2", 80),
                            service(0, 0xff000000, "10.1.0.1", 99)});
  EXPECT_TRUE(table.has_networks());
  EXPECT_EQ(replies(table, "10.1.0.1", 80),
            (Masks{0xff000000, 0xffff0000, 0xffffff00, 0xffffffff}));
  EXPECT_EQ(replies(table, "10.1.0.1", 443), Masks{0xff000000});
  EXPECT_EQ(replies(table, "10.1.0.2", 80), Masks{});
  // Port 0's servers answer from every port, whatever their own.
  EXPECT_TRUE(
      table.is_masqueraded_server<net::V4>(net::kTcp, parse_address("10.1.0.1")->v4(), be16(443)));
}

TEST_F(Parts, AreRememberedOfServicesThatAreGone) {
  ServiceKey gone = service_at("198.51.100.1", 80).key;
  const std::vector<ClientPart> parts = {{}, {true, 0xffffff00}};
  Endpoint server{*parse_address("10.1.0.1"), 80};
  const ServiceTable table({service(82, 0, "10.1.0.2", 80)}, {{gone, {server}, parts, true}});
  EXPECT_TRUE(table.has_networks());
  EXPECT_EQ(replies(table, "10.1.0.1", 80), Masks{0xffffff00});
  const Ipv4 vip = parse_address("198.51.100.1")->v4();
  EXPECT_EQ(masks(table.departed_parts<net::V4>(net::kTcp, vip, be16(80))), (Masks{0, 0xffffff00}));
  EXPECT_EQ(masks(table.departed_parts<net::V4>(net::kTcp, vip, be16(82))), Masks{});
  EXPECT_EQ(masks(table.departed_parts<net::V4>(net::kUdp, vip, be16(80))), Masks{});
}

TEST_F(Parts, AreRememberedOfMarksThatAreGone) {
  ServiceTable::Remains gone;
  gone.key.fwmark = 7;
  gone.parts = {{true, 0xffffff00}};
  gone.is_departed = true;
  const ServiceTable table({service(80, 0, "10.1.0.2", 80)}, {gone});
  EXPECT_TRUE(table.has_networks());
  ASSERT_EQ(table.departed_parts<net::V4>(7).size(), 1u);
  EXPECT_EQ(table.departed_parts<net::V4>(7)[0].netmask, 0xffffff00);
  EXPECT_TRUE(table.departed_parts<net::V4>(8).empty());
  EXPECT_TRUE(table.departed_parts<net::V6>(7).empty());
}

TEST_F(Parts, DoNotExistWithoutPersistence) {
  const ServiceTable table({service(80, 0, "10.1.0.1", 80)});
  EXPECT_FALSE(table.has_networks());
}

TEST_F(Parts, FtpTakesWhatMayBeItsDataConnections) {
  auto ftp = service(21, 0xffffffff, "10.1.0.1", 21), web = service(8080, 0, "10.1.0.2", 80);
  const ServiceTable table({ftp, web});
  auto at = [&](uint8_t protocol, uint16_t port) {
    return table.find<net::V4>(protocol, parse_address("198.51.100.1")->v4(), be16(port));
  };
  for (uint16_t port : {20, 21, 1024, 65535}) EXPECT_EQ(at(net::kTcp, port), ftp.get()) << port;
  EXPECT_EQ(at(net::kTcp, 8080), web.get());
  for (uint16_t port : {19, 22, 80, 1023}) EXPECT_EQ(at(net::kTcp, port), nullptr) << port;
  EXPECT_EQ(at(net::kUdp, 2000), nullptr);
}

TEST_F(Parts, AServerIsFoundByItsIdWhereverItIs) {
  Service made = service_at("198.51.100.1", 80);
  for (uint32_t id : {7u, 5u, 9u}) add(made, server_at(id, "10.1.0." + std::to_string(id), 80));
  uint32_t hint = 77;
  for (uint32_t id : {9u, 7u, 5u}) {
    const Server* found = made.server(id, hint);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->id, id);
    EXPECT_EQ(&made.servers[hint], found);
    EXPECT_EQ(made.server(id, hint), found);
  }
  EXPECT_EQ(made.server(6, hint), nullptr);
}

}  // namespace
}  // namespace shunt::ipvs
