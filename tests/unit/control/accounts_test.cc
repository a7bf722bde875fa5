#include "control/accounts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace shunt::control {
namespace {

using ipvs::Counters;

class AccountsTest : public testing::Test {
 protected:
  AccountsTest() { x_service.config.key.endpoint = {*parse_address("10.0.0.1"), 80}; }

  void set_servers(std::vector<uint32_t> ids) {
    x_service.servers.clear();
    for (uint32_t id : ids) {
      ipvs::ServerConfig config;
      config.endpoint = {*parse_address("10.1.0.1"), static_cast<uint16_t>(id)};
      x_service.servers.push_back({id, config, 1});
    }
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
  EXPECT_EQ(listing().servers[0].totals.connections, 7u) << "what it counted in the service";
}

class AccountsOfManyTest : public AccountsTest {
 protected:
  AccountsOfManyTest() {
    std::vector<uint32_t> ids(1000);
    std::iota(ids.begin(), ids.end(), 0);
    set_servers(ids);
    for (uint32_t id : ids) count(id, 4);
  }
  size_t read_by(auto step) {
    x_read = 0;
    step();
    return x_read;
  }
  size_t x_read = 0;
  Accounts x_counted{[this](uint32_t id) {
    x_read++;
    return x_facts[id];
  }};
};

TEST_F(AccountsOfManyTest, NoStepReadsMoreThanAFewServers) {
  x_counted.follow(x_service);
  for (auto& [id, facts] : x_facts) facts.totals.connections += 8;
  x_counted.begin_tick();
  size_t steps = 0, most = 0, all = 0;
  for (bool more = true; more; steps++) {
    const size_t read = read_by([&] { more = x_counted.tick_next(); });
    most = std::max(most, read);
    all += read;
  }
  EXPECT_EQ(most, Accounts::kStep);
  EXPECT_EQ(all, 1000u);
  EXPECT_GE(steps, 1000u / Accounts::kStep);
  EXPECT_EQ(x_counted.listing(x_service).servers[7].rates.connections, 1u);
  EXPECT_EQ(x_counted.listing(x_service).rates.connections, 1000u);

  Accounts::Total total;
  most = all = 0;
  for (bool more = true; more;) {
    const size_t read = read_by([&] { more = x_counted.totals_next(total); });
    most = std::max(most, read);
    all += read;
  }
  EXPECT_EQ(most, Accounts::kStep);
  EXPECT_EQ(all, 1000u);
  EXPECT_EQ(total.totals.connections, 8000u);
  EXPECT_EQ(total.rates.connections, 1000u);
}

TEST_F(AccountsOfManyTest, AnEditInTheMiddleOfATickDoesNotSpoilTheAverages) {
  for (const char* edit : {"removes", "adds", "zeroes", "closes"}) {
    SCOPED_TRACE(edit);
    const std::string_view kind = edit;
    x_accounts.tick();
    x_accounts.begin_tick();
    for (int i = 0; i < 5; i++) ASSERT_TRUE(x_accounts.tick_next());
    Accounts::Total total;
    ASSERT_TRUE(x_accounts.totals_next(total));
    if (kind == "removes") {
      std::vector<uint32_t> ids(900);
      std::iota(ids.begin(), ids.end(), 50);
      set_servers(ids);
    } else if (kind == "adds") {
      std::vector<uint32_t> ids(1100);
      std::iota(ids.begin(), ids.end(), 0);
      set_servers(ids);
    } else if (kind == "zeroes") {
      x_accounts.zero(x_service.config.key);
    } else {
      x_accounts.close(x_service.config.key);
    }
    while (x_accounts.tick_next()) {
    }
    EXPECT_LE(listing().rates.connections, 4000u) << "an underflow would be huge";
    while (x_accounts.totals_next(total)) {
    }
    EXPECT_EQ(total.totals.connections, 4000u);
  }
}

// The bin is looked at once a minute; who was seen idle there leaves it two minutes later
// (ip_vs_dest_trash_expire).
TEST_F(AccountsTest, ARemovedServersCountersWaitForItsReturn) {
  for (int seconds : {0, 178, 180}) {
    set_servers({1});
    uint64_t before = listing().servers[0].totals.connections;
    count(1, 5);
    set_servers({});
    for (int i = 0; i < seconds / Estimator::kPeriod; i++) x_accounts.sweep();
    set_servers({1});
    EXPECT_EQ(listing().servers[0].totals.connections, seconds == 180 ? 0 : before + 5) << seconds;
  }
}

TEST_F(AccountsTest, ARemovedServerWithSessionsIsNotIdle) {
  for (uint64_t ServerFacts::*held :
       {&ServerFacts::active, &ServerFacts::inactive, &ServerFacts::persistent}) {
    set_servers({1});
    count(1, 5);
    uint64_t before = listing().servers[0].totals.connections;
    x_facts[1].*held = 1;
    set_servers({});
    for (int i = 0; i < 300; i++) x_accounts.sweep();
    set_servers({1});
    EXPECT_EQ(listing().servers[0].totals.connections, before);
    x_facts[1].*held = 0;
  }
}

// Its old id may be another server's by then.
TEST_F(AccountsTest, AReturnedServerMayHaveAnotherId) {
  set_servers({1});
  count(1, 5);
  set_servers({});
  count(9, 100);
  ipvs::ServerConfig config;
  config.endpoint = {*parse_address("10.1.0.1"), 1};
  x_service.servers.push_back({9, config, 1});
  x_accounts.follow(x_service);
  count(9, 2);
  EXPECT_EQ(listing().servers[0].totals.connections, 7u);
  EXPECT_EQ(listing().totals.connections, 7u);
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
