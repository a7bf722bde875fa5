// The lookups of the packet path.
#include "ipvs/service_table.h"

#include <gtest/gtest.h>

#include <string>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

using Services = std::vector<std::shared_ptr<const Service>>;

std::shared_ptr<const Service> share(Service service) {
  return std::make_shared<const Service>(std::move(service));
}

Ipv4 v4(std::string_view text) {
  return parse_address(text)->v4();
}
Ipv6 v6(std::string_view text) {
  return parse_address(text)->v6();
}

Service mark_service(uint32_t mark, Family family) {
  Service service;
  service.key.fwmark = mark;
  service.key.endpoint.address.family = family;
  return service;
}

TEST(ServiceTable, FindsNothingWhenEmpty) {
  ServiceTable table({});
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80)), nullptr);
  EXPECT_EQ(table.find<net::V6>(net::kTcp, v6("::"), be16(0)), nullptr);
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(80)));
  EXPECT_FALSE(table.has_family(Family::kV4));
  EXPECT_FALSE(table.has_family(Family::kV6));
  EXPECT_TRUE(table.services().empty());
}

TEST(ServiceTable, FindsByProtocolAddressAndPort) {
  Services services = {
      share(service_at("198.51.100.1", 80)), share(service_at("198.51.100.1", 443)),
      share(service_at("198.51.100.1", 80, net::kUdp)), share(service_at("2001:db8:f::1", 80))};
  ServiceTable table(services);
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80)), services[0].get());
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(443)), services[1].get());
  EXPECT_EQ(table.find<net::V4>(net::kUdp, v4("198.51.100.1"), be16(80)), services[2].get());
  EXPECT_EQ(table.find<net::V6>(net::kTcp, v6("2001:db8:f::1"), be16(80)), services[3].get());
  EXPECT_EQ(table.find<net::V4>(net::kUdp, v4("198.51.100.1"), be16(443)), nullptr);
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(0x5000)), nullptr)
      << "80 in the wrong byte order";
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.2"), be16(80)), nullptr);
  EXPECT_EQ(table.find<net::V6>(net::kTcp, v6("2001:db8:f::2"), be16(80)), nullptr);
  EXPECT_TRUE(table.has_family(Family::kV4));
  EXPECT_TRUE(table.has_family(Family::kV6));
  EXPECT_EQ(table.services(), services);
}

TEST(ServiceTable, KeepsFamiliesApart) {
  // The same first four bytes, the rest zero.
  ServiceTable table({share(service_at("32.1.13.184", 80))});
  EXPECT_NE(table.find<net::V4>(net::kTcp, v4("32.1.13.184"), be16(80)), nullptr);
  EXPECT_EQ(table.find<net::V6>(net::kTcp, v6("2001:db8::"), be16(80)), nullptr);
  EXPECT_FALSE(table.has_family(Family::kV6));
}

TEST(ServiceTable, PortZeroTakesThePortsThatNoOtherServiceHas) {
  // Asked of Linux 6.1.176: with a service at port 0 and one at 443, 443 goes to the latter.
  Services services = {share(service_at("198.51.100.1", 0)),
                       share(service_at("198.51.100.1", 443))};
  ServiceTable table(services);
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80)), services[0].get());
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(8080)), services[0].get());
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(443)), services[1].get());
  EXPECT_EQ(table.find<net::V4>(net::kUdp, v4("198.51.100.1"), be16(80)), nullptr);
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.2"), be16(80)), nullptr);
}

TEST(ServiceTable, KnowsMasqueradedServers) {
  Service nat = service_at("198.51.100.1", 80);
  add(nat, server_at(1, "10.1.0.1", 8080));
  add(nat, server_at(2, "10.1.0.2", 8080, 0));
  Service direct = service_at("198.51.100.2", 80);
  Server server = server_at(3, "10.1.0.3", 80);
  for (auto method : {ForwardMethod::kDirectRoute, ForwardMethod::kTunnel, ForwardMethod::kLocal}) {
    server.method = method;
    add(direct, server);
  }
  Service six = service_at("2001:db8:f::1", 53, net::kUdp);
  add(six, server_at(4, "2001:db8:1::1", 53));
  ServiceTable table({share(nat), share(direct), share(six)});

  EXPECT_TRUE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(8080)));
  EXPECT_TRUE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.2"), be16(8080)))
      << "weight 0 has old sessions";
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kUdp, v4("10.1.0.1"), be16(8080)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(80)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.3"), be16(80)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80)));
  EXPECT_TRUE(table.is_masqueraded_server<net::V6>(net::kUdp, v6("2001:db8:1::1"), be16(53)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V6>(net::kTcp, v6("2001:db8:1::1"), be16(53)));
}

TEST(ServiceTable, AServerAtPortZeroAnswersFromEveryPort) {
  Service service = service_at("198.51.100.1", 0);
  add(service, server_at(1, "10.1.0.1", 0));
  ServiceTable table({share(service)});
  EXPECT_TRUE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(8080)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kUdp, v4("10.1.0.1"), be16(8080)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.2"), be16(8080)));
}

TEST(ServiceTable, MarkServicesHaveNoEndpointButServers) {
  Service mark = mark_service(7, Family::kV6);
  add(mark, server_at(1, "2001:db8:1::1", 80));
  ServiceTable table({share(mark)});
  EXPECT_TRUE(table.has_family(Family::kV6));
  EXPECT_FALSE(table.has_family(Family::kV4));
  EXPECT_EQ(table.find<net::V6>(0, v6("::"), be16(0)), nullptr);
  for (uint8_t protocol : {net::kTcp, net::kUdp, net::kSctp})
    EXPECT_TRUE(table.is_masqueraded_server<net::V6>(protocol, v6("2001:db8:1::1"), be16(80)));
  EXPECT_FALSE(table.is_masqueraded_server<net::V6>(net::kTcp, v6("2001:db8:1::1"), be16(81)));
}

TEST(ServiceTable, HoldsTenThousandServicesOfTenServers) {
  Services services;
  auto text = [](int net, int i) {
    return std::to_string(net) + "." + std::to_string(i >> 16) + "." +
           std::to_string(i >> 8 & 255) + "." + std::to_string(i & 255);
  };
  for (int i = 0; i < 10000; i++) {
    Service service = service_at(text(100, i), 80);
    service.id = i;
    for (int n = 0; n < 10; n++) add(service, server_at(i * 10 + n, text(10, i * 10 + n), 80));
    services.push_back(share(std::move(service)));
  }
  ServiceTable table(services);
  for (int i = 0; i < 10000; i++) {
    const Service* found = table.find<net::V4>(net::kTcp, v4(text(100, i)), be16(80));
    ASSERT_NE(found, nullptr) << i;
    EXPECT_EQ(found->id, static_cast<uint32_t>(i));
    EXPECT_EQ(table.find<net::V4>(net::kTcp, v4(text(101, i)), be16(80)), nullptr);
  }
  for (int i = 0; i < 100000; i += 7) {
    EXPECT_TRUE(table.is_masqueraded_server<net::V4>(net::kTcp, v4(text(10, i)), be16(80)));
    EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4(text(11, i)), be16(80)));
  }
}

}  // namespace
}  // namespace shunt::ipvs
