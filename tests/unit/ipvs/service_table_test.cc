// The lookups of the packet path.
#include "ipvs/service_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

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
  ServiceTable table;
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80)), nullptr);
  EXPECT_EQ(table.find<net::V6>(net::kTcp, v6("::"), be16(0)), nullptr);
  EXPECT_FALSE(table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(80)));
  EXPECT_FALSE(table.has_family(Family::kV4));
  EXPECT_FALSE(table.has_family(Family::kV6));
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
}

/// "old>now" of each change by the services' ids, sorted; "-" where there is none.
std::vector<std::string> changes(const ServiceTable& before, const ServiceTable& after) {
  std::vector<std::string> all;
  auto name = [](const Service* service) {
    return service ? std::to_string(service->id) : std::string("-");
  };
  after.each_change(before, [&](const Service* old, const Service* now) {
    all.push_back(name(old) + ">" + name(now));
  });
  std::sort(all.begin(), all.end());
  return all;
}

std::shared_ptr<const Service> numbered(uint32_t id, Service service) {
  service.id = id;
  return share(std::move(service));
}

void put(ServiceTable& table, std::shared_ptr<const Service> service) {
  const ServiceKey key = service->key;
  table.put(key, std::move(service), nullptr);
}

void remove(ServiceTable& table, const ServiceKey& key) {
  table.put(key, nullptr, nullptr);
}

TEST(ServiceTable, TellsWhatChanged) {
  using Texts = std::vector<std::string>;
  ServiceTable first(
      {numbered(1, service_at("198.51.100.1", 80)), numbered(2, service_at("2001:db8:f::1", 80)),
       numbered(3, mark_service(7, Family::kV4)), numbered(4, mark_service(7, Family::kV6))});
  EXPECT_EQ(changes(ServiceTable(), first), (Texts{"->1", "->2", "->3", "->4"}));
  EXPECT_EQ(changes(first, first), Texts{});
  ServiceTable second = first;
  EXPECT_EQ(changes(first, second), Texts{});
  put(second, numbered(5, service_at("198.51.100.1", 80)));
  put(second, numbered(6, service_at("198.51.100.1", 443)));
  put(second, numbered(7, mark_service(7, Family::kV6)));
  remove(second, service_at("2001:db8:f::1", 80).key);
  remove(second, service_at("198.51.100.1", 81).key);
  EXPECT_EQ(changes(first, second), (Texts{"->6", "1>5", "2>-", "4>7"}));
  EXPECT_EQ(first.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80))->id, 1u);
  EXPECT_EQ(second.find<net::V4>(net::kTcp, v4("198.51.100.1"), be16(80))->id, 5u);
  EXPECT_TRUE(first.has_family(Family::kV6));
  EXPECT_TRUE(second.has_family(Family::kV6)) << "the mark service's";
}

TEST(ServiceTable, FindsMarkServicesByTheirMarkAlone) {
  ServiceTable table({numbered(1, mark_service(7, Family::kV4)),
                      numbered(2, mark_service(7, Family::kV6)),
                      numbered(3, mark_service(0x0700000a, Family::kV4))});
  EXPECT_EQ(table.find_marked<net::V4>(7)->id, 1u);
  EXPECT_EQ(table.find_marked<net::V6>(7)->id, 2u);
  EXPECT_EQ(table.find_marked<net::V4>(0x0700000a)->id, 3u);
  EXPECT_EQ(table.find_marked<net::V4>(8), nullptr);
  EXPECT_EQ(table.find_marked<net::V6>(0x0700000a), nullptr);
  for (uint8_t protocol : {net::kTcp, net::kUdp})
    EXPECT_EQ(table.find<net::V4>(protocol, v4("10.0.0.7"), be16(0)), nullptr);
}

TEST(ServiceTable, CountsWhoIsMasqueradedAtAPlace) {
  const ServiceKey left = service_at("198.51.100.3", 80).key;
  const ServiceTable::Remains remains = {left, {{*parse_address("10.1.0.1"), 80}}, {}, true};
  auto with_server = [](const char* vip, int32_t weight) {
    Service service = service_at(vip, 80);
    add(service, server_at(1, "10.1.0.1", 80, weight));
    return share(std::move(service));
  };
  ServiceTable table({with_server("198.51.100.1", 1), with_server("198.51.100.2", 1)}, {remains});
  auto is_there = [&] {
    return table.is_masqueraded_server<net::V4>(net::kTcp, v4("10.1.0.1"), be16(80));
  };
  EXPECT_TRUE(is_there());
  remove(table, service_at("198.51.100.1", 80).key);
  EXPECT_TRUE(is_there());
  put(table, with_server("198.51.100.2", 5));
  remove(table, left);
  EXPECT_TRUE(is_there());
  put(table, share(service_at("198.51.100.2", 80)));
  EXPECT_FALSE(is_there());
  table.put(left, nullptr, std::make_shared<const ServiceTable::Remains>(remains));
  EXPECT_TRUE(is_there());
  remove(table, service_at("198.51.100.2", 80).key);
  EXPECT_FALSE(is_there()) << "without a service of the family nothing is IPVS's";
}

TEST(ServiceTable, TellsMostPortsThatNoServerHas) {
  auto with_server = [](const char* server, uint16_t port) {
    Service service = service_at("198.51.100.1", 80);
    add(service, server_at(1, server, port, 1));
    return share(std::move(service));
  };
  auto ports = [](const ServiceTable& table) {
    unsigned n = 0;
    for (uint32_t port = 0; port < 65536; port++)
      n += table.may_have_server_at<net::V4>(be16(static_cast<uint16_t>(port)));
    return n;
  };
  ServiceTable table;
  EXPECT_EQ(ports(table), 0u);
  put(table, with_server("10.0.0.1", 8080));
  EXPECT_TRUE(table.may_have_server_at<net::V4>(be16(8080)));
  EXPECT_EQ(ports(table), 64u);
  put(table, with_server("10.0.0.2", 8081));
  EXPECT_TRUE(table.may_have_server_at<net::V4>(be16(8081)));
  EXPECT_FALSE(table.may_have_server_at<net::V4>(be16(80))) << "a service's is none";
  EXPECT_FALSE(table.may_have_server_at<net::V6>(be16(8081)));
  ServiceTable::Remains remains{
      service_at("198.51.100.1", 80).key, {{*parse_address("10.0.0.2"), 8081}}, {{}}, true};
  table.put(remains.key, nullptr, std::make_shared<const ServiceTable::Remains>(remains));
  EXPECT_TRUE(table.may_have_server_at<net::V4>(be16(8081))) << "it may have sessions";
  table.put(remains.key, nullptr, nullptr);
  EXPECT_EQ(ports(table), 0u);
}

TEST(ServiceTable, PortZeroIsForgottenWithItsLastOwner) {
  ServiceTable table({share(service_at("198.51.100.1", 0)), share(service_at("198.51.100.2", 0))});
  remove(table, service_at("198.51.100.1", 0).key);
  put(table, share(service_at("198.51.100.2", 0)));
  EXPECT_NE(table.find<net::V4>(net::kTcp, v4("198.51.100.2"), be16(7)), nullptr);
  remove(table, service_at("198.51.100.2", 0).key);
  put(table, share(service_at("198.51.100.2", 80)));
  EXPECT_EQ(table.find<net::V4>(net::kTcp, v4("198.51.100.2"), be16(7)), nullptr);
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
  EXPECT_FALSE(table.is_masqueraded_server<net::V6>(net::kUdp, v6("2001:db8:1::1"), be16(81)));
  EXPECT_TRUE(table.is_masqueraded_server<net::V6>(net::kTcp, v6("2001:db8:1::1"), be16(81)))
      << "data connections of FTP";
}

/// Dotted, of number `i` of network `net`.
std::string numbered_address(int net, int i) {
  return std::to_string(net) + "." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) +
         "." + std::to_string(i & 255);
}

/// Number `i` of many, with ten servers.
Service one_of_many(int i) {
  Service service = service_at(numbered_address(100, i), 80);
  service.id = i;
  for (int n = 0; n < 10; n++)
    add(service, server_at(i * 10 + n, numbered_address(10, i * 10 + n), 80));
  return service;
}

TEST(ServiceTable, HoldsTenThousandServicesOfTenServers) {
  Services services;
  for (int i = 0; i < 10000; i++) services.push_back(share(one_of_many(i)));
  ServiceTable table(services);
  for (int i = 0; i < 10000; i++) {
    const Service* found = table.find<net::V4>(net::kTcp, v4(numbered_address(100, i)), be16(80));
    ASSERT_NE(found, nullptr) << i;
    EXPECT_EQ(found->id, static_cast<uint32_t>(i));
    EXPECT_EQ(table.find<net::V4>(net::kTcp, v4(numbered_address(101, i)), be16(80)), nullptr);
  }
  for (int i = 0; i < 100000; i += 7) {
    EXPECT_TRUE(
        table.is_masqueraded_server<net::V4>(net::kTcp, v4(numbered_address(10, i)), be16(80)));
    EXPECT_FALSE(
        table.is_masqueraded_server<net::V4>(net::kTcp, v4(numbered_address(11, i)), be16(80)));
  }
}

TEST(ServiceTable, AnEditCostsTheSameAmongTenThousandServices) {
  Services services;
  for (int i = 0; i < 10000; i++) services.push_back(share(one_of_many(i)));
  const ServiceTable table(services);
  const ServiceTable few({services[4711]});
  EXPECT_GT(table.shards_apart(few), 500u) << "nearly all of both maps";
  // By one map's shard each: the service, and servers that come or go.
  auto shards = [](const ServiceTable& base, auto edit) {
    ServiceTable next = base;
    EXPECT_EQ(next.shards_apart(base), 0u);
    edit(next);
    return next.shards_apart(base);
  };
  for (const ServiceTable* base : {&table, &few}) {
    EXPECT_EQ(shards(*base,
                     [](ServiceTable& t) {
                       Service heavier = one_of_many(4711);
                       set_weight(heavier, 47112, 9);
                       put(t, share(heavier));
                     }),
              1u);
    EXPECT_EQ(shards(*base,
                     [](ServiceTable& t) {
                       Service more = one_of_many(4711);
                       add(more, server_at(200000, "10.9.9.9", 80));
                       put(t, share(more));
                     }),
              2u);
    EXPECT_EQ(shards(*base,
                     [](ServiceTable& t) {
                       Service less = one_of_many(4711);
                       remove(less, 47112);
                       put(t, share(less));
                     }),
              2u);
    EXPECT_EQ(shards(*base, [](ServiceTable& t) { put(t, share(service_at("101.0.0.1", 80))); }),
              1u);
    EXPECT_LE(shards(*base, [](ServiceTable& t) { remove(t, one_of_many(4711).key); }), 11u);
  }
}

TEST(ServiceTable, IsFreedInPartsThatLeaveOthersWhatTheyShare) {
  std::vector<std::weak_ptr<const Service>> services;
  auto table = std::make_shared<ServiceTable>();
  for (int i = 0; i < 2000; i++) {
    auto service = share(one_of_many(i));
    services.push_back(service);
    put(*table, std::move(service));
  }
  ServiceTable other = *table;
  put(other, share(service_at("101.0.0.1", 80)));
  while (table->shed_next()) {
  }
  for (const auto& service : services) {
    ASSERT_FALSE(service.expired());
    const Endpoint at = service.lock()->key.endpoint;
    EXPECT_EQ(other.find<net::V4>(service.lock()->key.protocol, at.address.v4(), be16(at.port)),
              service.lock().get());
  }
  size_t steps = 0, left = services.size(), most = 0;
  while (other.shed_next()) {
    size_t now = 0;
    for (const auto& service : services) now += !service.expired();
    most = std::max(most, left - now);
    left = now;
    steps++;
  }
  EXPECT_EQ(left, 0u);
  EXPECT_GT(steps, 100u);
  EXPECT_LT(most, 40u) << "2,000 in 256 shards";
}

}  // namespace
}  // namespace shunt::ipvs
