#include "control/accounts.h"

#include <gtest/gtest.h>

namespace shunt::control {
namespace {

using ipvs::Counters;

class AccountsTest : public testing::Test {
 protected:
  AccountsTest() { x_service.config.key.endpoint = {*parse_address("10.0.0.1"), 80}; }

  void set_servers(std::vector<uint32_t> ids) {
    x_service.servers.clear();
    for (uint32_t id : ids) x_service.servers.push_back({id, {}, 1});
    x_accounts.follow(x_service);
  }
  void count(uint32_t id, uint64_t n) {
    Counters& totals = x_facts[id].totals;
    totals.connections += n;
    totals.in_packets += n * 10;
    totals.out_packets += n * 9;
    totals.in_bytes += n * 1000;
    totals.out_bytes += n * 900;
  }
  ipvs::ServiceListing listing() { return x_accounts.listing(x_service); }

  std::map<uint32_t, ServerFacts> x_facts;
  ipvs::ConfiguredService x_service;
  Accounts x_accounts{[this](uint32_t id) { return x_facts[id]; }};
};

TEST_F(AccountsTest, CountsFromWhenAServerJoined) {
  count(1, 100);  // what a former holder of this id has counted
  set_servers({1, 2});
  count(1, 5);
  count(2, 7);
  x_facts[2].active = 3;
  EXPECT_EQ(listing().servers[0].totals.connections, 5u);
  EXPECT_EQ(listing().servers[1].totals.in_bytes, 7000u);
  EXPECT_EQ(listing().servers[1].active, 3u);
  EXPECT_EQ(listing().totals.connections, 12u);
}

TEST_F(AccountsTest, AServiceKeepsWhatRemovedServersCounted) {
  set_servers({1, 2});
  count(1, 5);
  set_servers({2});
  count(1, 50);
  count(2, 1);
  EXPECT_EQ(listing().totals.connections, 6u);
  set_servers({1, 2});
  count(1, 2);
  EXPECT_EQ(listing().totals.connections, 8u);
  EXPECT_EQ(listing().servers[0].totals.connections, 2u) << "it had no sessions: a new server";
}

TEST_F(AccountsTest, AServerThatComesBackWithSessionsGoesOn) {
  set_servers({1});
  count(1, 5);
  x_facts[1].inactive = 1;
  set_servers({});
  set_servers({1});
  EXPECT_EQ(listing().servers[0].totals.connections, 5u);
  EXPECT_EQ(listing().totals.connections, 5u);
}

TEST_F(AccountsTest, ZeroSubtracts) {
  set_servers({1, 2});
  count(1, 5);
  set_servers({2});
  x_accounts.tick();
  x_accounts.zero(x_service.config.key);
  EXPECT_EQ(listing().totals, Counters{});
  EXPECT_EQ(listing().rates, Counters{});
  count(2, 4);
  EXPECT_EQ(listing().totals.connections, 4u);
  EXPECT_EQ(listing().servers[0].totals.connections, 4u);
}

TEST_F(AccountsTest, AClosedServiceStartsAnew) {
  set_servers({1});
  count(1, 5);
  x_accounts.close(x_service.config.key);
  set_servers({1});
  EXPECT_EQ(listing().totals.connections, 0u);
}

TEST_F(AccountsTest, AveragesApproachTheRate) {
  set_servers({1});
  // 200 connections in two seconds: a quarter of the way to 100 a second each time.
  uint64_t expected[] = {25, 44, 58, 68, 76};
  for (uint64_t rate : expected) {
    count(1, 200);
    x_accounts.tick();
    EXPECT_EQ(listing().rates.connections, rate);
    EXPECT_EQ(listing().servers[0].rates.connections, rate);
  }
  for (int i = 0; i < 60; i++) {
    count(1, 200);
    x_accounts.tick();
  }
  EXPECT_EQ(listing().rates.connections, 100u);
  EXPECT_EQ(listing().rates.in_packets, 1000u);
  EXPECT_EQ(listing().rates.in_bytes, 100'000u);
  for (int i = 0; i < 80; i++) x_accounts.tick();
  EXPECT_EQ(listing().rates.connections, 0u);
  EXPECT_EQ(listing().rates.in_bytes, 0u);
}

TEST_F(AccountsTest, ARemovedServerMakesNoNegativeRate) {
  set_servers({1, 2});
  count(1, 1000);
  count(2, 1000);
  x_accounts.tick();
  uint64_t before = listing().rates.connections;
  set_servers({2});
  x_accounts.tick();
  EXPECT_LT(listing().rates.connections, before);
}

}  // namespace
}  // namespace shunt::control
