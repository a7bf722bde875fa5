// maglev's table: exact shares, whatever order servers came in; what a change moves; its key.
#include "ipvs/schedulers/maglev.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

constexpr uint32_t kSlots = 65537;

Server server(uint32_t n, int32_t weight = 1) {
  return server_at(n, "10.1." + std::to_string(n / 256) + "." + std::to_string(n % 256), 80,
                   weight);
}

Service equal(uint32_t count) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = &kMaglev;
  for (uint32_t n = 1; n <= count; n++) add(service, server(n));
  EXPECT_TRUE(build_maglev_table(service, kSlots));
  return service;
}

/// Slots by server id.
std::map<uint32_t, uint32_t> shares(const Service& service) {
  std::map<uint32_t, uint32_t> count;
  for (uint16_t index : service.table) count[service.servers.at(index).id]++;
  return count;
}

std::vector<uint32_t> ids(const Service& service) {
  std::vector<uint32_t> all;
  for (uint16_t index : service.table) all.push_back(service.servers.at(index).id);
  return all;
}

TEST(Maglev, SharesSlotsExactlyByWeight) {
  for (auto weights : {std::vector<int32_t>{1, 100},
                       {1, 1, 1},
                       {100, 200, 300},
                       {7, 0, 13, 1000},
                       {INT32_MAX, INT32_MAX, 1},
                       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}) {
    Service service = equal(0);
    double total = 0;
    for (size_t i = 0; i < weights.size(); i++) {
      add(service, server(static_cast<uint32_t>(i + 1), weights[i]));
      total += weights[i];
    }
    ASSERT_TRUE(build_maglev_table(service, kSlots));
    auto count = shares(service);
    for (size_t i = 0; i < weights.size(); i++) {
      const double exact = kSlots * (weights[i] / total);
      const uint32_t slots = count[static_cast<uint32_t>(i + 1)];
      if (weights[i] > 0 && exact < 1)
        EXPECT_EQ(slots, 1u);
      else
        EXPECT_LE(std::abs(slots - exact), 1.0) << i;
    }
    if (weights.size() == 2)
      std::printf("weights 1:100: %u of %u slots, share %.5f %%, exact %.5f %%\n", count[1], kSlots,
                  100.0 * count[1] / kSlots, 100.0 / 101);
  }
}

TEST(Maglev, KnowsNoOrderOfServers) {
  Service service = equal(0);
  for (uint32_t n = 1; n <= 50; n++) add(service, server(n, static_cast<int32_t>(n % 5)));
  ASSERT_TRUE(build_maglev_table(service, kSlots));
  const auto before = ids(service);
  std::mt19937 random(1);
  for (int i = 0; i < 5; i++) {
    std::ranges::shuffle(service.servers, random);
    ASSERT_TRUE(build_maglev_table(service, kSlots));
    EXPECT_EQ(ids(service), before);
  }
}

TEST(Maglev, MovesFewOfTheSurvivorsSlots) {
  for (uint32_t count : {3u, 10u, 100u, 1000u}) {
    Service service = equal(count);
    const auto before = ids(service);
    double worst = 0, sum = 0;
    const int rounds = count > 100 ? 3 : 5;
    for (int round = 0; round < rounds; round++) {
      Service less = service;
      const uint32_t gone = 1 + round * count / rounds;
      remove(less, gone);
      ASSERT_TRUE(build_maglev_table(less, kSlots));
      const auto after = ids(less);
      uint32_t survivors = 0, moved = 0;
      for (uint32_t slot = 0; slot < kSlots; slot++) {
        if (before[slot] == gone) continue;
        survivors++;
        moved += before[slot] != after[slot];
      }
      const double part = 100.0 * moved / survivors;
      worst = std::max(worst, part), sum += part;
    }
    std::printf("removing one of %u: %.2f %% of the other servers' slots move (worst %.2f %%)\n",
                count, sum / rounds, worst);
    EXPECT_LT(worst, 5.0) << count;
  }
}

TEST(Maglev, AQuiescedServerHasNoSlotsAndNoServerNoTable) {
  Service service = equal(3);
  set_weight(service, 2, 0);
  ASSERT_TRUE(build_maglev_table(service, kSlots));
  EXPECT_EQ(shares(service).count(2), 0u);
  set_weight(service, 1, 0), set_weight(service, 3, 0);
  ASSERT_TRUE(build_maglev_table(service, kSlots));
  EXPECT_TRUE(service.table.empty());
  SchedulerState state;
  EXPECT_EQ(kMaglev.pick(service, state, {}, idle()).index, Pick::kNoPick);
}

TEST(Maglev, IsBuiltWhileNobodyWaits) {
  Service service = equal(1000);
  auto best = std::chrono::nanoseconds::max();
  for (int i = 0; i < 5; i++) {
    auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(build_maglev_table(service, kSlots));
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - begin);
  }
  std::printf("%u slots, 1000 servers: %.2f ms\n", kSlots, best.count() / 1e6);
  EXPECT_LT(best, std::chrono::milliseconds(500)) << "(generous, for sanitizers)";
}

TEST(Maglev, TakesAPrimeNumberOfSlotsForAllItsServers) {
  Service service = equal(3);
  for (uint32_t slots : {251u, 65521u, 131071u}) {
    ASSERT_TRUE(build_maglev_table(service, slots));
    EXPECT_EQ(service.table.size(), slots);
  }
  for (uint32_t slots : {0u, 1u, 241u, 65535u, 65536u, 4294967291u})
    EXPECT_FALSE(build_maglev_table(service, slots)) << slots;
  EXPECT_FALSE([&] {
    Service many = equal(300);
    return static_cast<bool>(build_maglev_table(many, 251));
  }());
}

/// A flow whose addresses live as long as it.
struct WholeFlow {
  Address client, vip;
  Flow flow;
  WholeFlow(const char* from, uint16_t port, const char* to, uint16_t to_port, uint8_t protocol)
      : client(*parse_address(from)), vip(*parse_address(to)) {
    flow = {.client_port = port,
            .virtual_port = to_port,
            .protocol = protocol,
            .address_size = static_cast<uint8_t>(client.size()),
            .client_bytes = client.bytes.data(),
            .virtual_bytes = vip.bytes.data()};
  }
};

TEST(Maglev, HashesTheWholeFlow) {
  const net::SipKey key = *parse_maglev_key("000102030405060708090a0b0c0d0e0f");
  auto hash = [&](const char* from, uint16_t port, const char* to, uint16_t to_port,
                  uint8_t protocol) {
    return maglev_hash(WholeFlow(from, port, to, to_port, protocol).flow, key);
  };
  const uint64_t one = hash("10.0.0.1", 5000, "198.51.100.1", 80, 6);
  EXPECT_EQ(one, hash("10.0.0.1", 5000, "198.51.100.1", 80, 6));
  EXPECT_NE(one, hash("10.0.0.2", 4999, "198.51.100.1", 80, 6)) << "mh-port takes them for one";
  EXPECT_NE(one, hash("10.0.0.1", 5000, "198.51.100.2", 80, 6));
  EXPECT_NE(one, hash("10.0.0.1", 5000, "198.51.100.1", 81, 6));
  EXPECT_NE(one, hash("10.0.0.1", 5000, "198.51.100.1", 80, 17));
  EXPECT_NE(hash("2001:db8::1", 1, "2001:db8:f::1", 80, 6),
            hash("2001:db8:0:1::", 1, "2001:db8:f::1", 80, 6))
      << "folded they are the same";
  EXPECT_NE(one, maglev_hash(WholeFlow("10.0.0.1", 5000, "198.51.100.1", 80, 6).flow, {}));
}

/// The paper's own key and message 00 .. 0e (SipHash, appendix A): the key's bytes are in order.
TEST(Maglev, ReadsItsKeyInSipHashsOrder) {
  const auto key = parse_maglev_key("000102030405060708090A0b0c0d0e0f");
  ASSERT_TRUE(key);
  std::array<uint8_t, 15> message;
  for (uint8_t i = 0; i < 15; i++) message[i] = i;
  EXPECT_EQ((net::siphash<2, 4>(message.data(), message.size(), *key)), 0xa129ca6149be45e5u);
  for (const char* bad :
       {"", "00", "000102030405060708090a0b0c0d0e0g", "000102030405060708090a0b0c0d0e0f00"})
    EXPECT_FALSE(parse_maglev_key(bad)) << bad;
}

TEST(Maglev, SpreadsTheFlowsOfAnOverloadedServer) {
  Service service = equal(5);
  TestLoads loads;
  loads.limits(3).overloaded = 1;
  std::map<uint32_t, int> instead;
  SchedulerState state;
  for (uint16_t port = 1; port < 20000; port++) {
    WholeFlow whole("10.0.0.1", port, "198.51.100.1", 80, 6);
    auto calm = picked(service, kMaglev.pick(service, state, whole.flow, idle()));
    auto now = picked(service, kMaglev.pick(service, state, whole.flow, loads.now()));
    if (calm == 3)
      instead[now]++;
    else
      EXPECT_EQ(now, calm);
  }
  EXPECT_EQ(instead.count(3), 0u);
  for (uint32_t id : {1, 2, 4, 5}) EXPECT_NEAR(instead[id], 1000, 200) << id;
  for (uint32_t id = 1; id <= 5; id++) loads.limits(id).overloaded = 1;
  WholeFlow whole("10.0.0.1", 1, "198.51.100.1", 80, 6);
  EXPECT_EQ(kMaglev.pick(service, state, whole.flow, loads.now()).index, Pick::kNoPick);
}

}  // namespace
}  // namespace shunt::ipvs
