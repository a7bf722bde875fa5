// FlowClasses against a map, and against an attacker who knows the secret.
#include "dataplane/flow_classes.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace shunt::dataplane {
namespace {

using Origin = FlowClasses::Origin;
constexpr net::SipKey kSecret{1, 2};

class ClassesTest : public testing::Test {
 protected:
  /// As a lane finds it: at its first row, without a search.
  bool is_first(uint64_t endpoint) const {
    return x_classes->rows()[row(endpoint)].endpoint == endpoint;
  }
  uint64_t row(uint64_t endpoint) const {
    return endpoint * x_classes->multiplier() >> (64 - FlowClasses::kBits);
  }
  /// Endpoints as clients of a service for every port could choose them.
  static uint64_t chosen(uint32_t i) {
    return FlowClasses::key_of(Ipv4{{198, 51, 100, static_cast<uint8_t>(i >> 16)}},
                               be16(static_cast<uint16_t>(i)), i >> 24 & 1 ? 17 : 6);
  }
  /// The same, but only those whose first row is this one's.
  std::vector<uint64_t> of_row(uint64_t wanted, size_t n) const {
    std::vector<uint64_t> found;
    for (uint64_t i = 1; found.size() < n; i++) {
      const uint64_t endpoint = i | uint64_t{6} << 48;
      if (row(endpoint) == wanted) found.push_back(endpoint);
    }
    return found;
  }
  void expect_nothing_left() const {
    EXPECT_EQ(x_classes->size(), 0u);
    for (uint32_t i = 0; i < 1u << FlowClasses::kBits; i += 64)
      ASSERT_EQ(x_classes->used_rows()[i / 64], 0u);
  }

  std::unique_ptr<FlowClasses> x_classes = std::make_unique<FlowClasses>(kSecret);
};

TEST_F(ClassesTest, AgreesWithAModel) {
  struct Known {
    uint32_t destinations = 0, sources = 0;
    FlowClasses::Class own = 0, answers = 0;
  };
  std::unordered_map<uint64_t, Known> model;
  std::mt19937 random(7);
  constexpr uint32_t kEndpoints = 60'000;
  std::vector<uint64_t> endpoints;
  for (uint32_t i = 0; i < kEndpoints; i++)
    endpoints.push_back((uint64_t{random()} << 16 | i) | uint64_t{6} << 48);
  uint64_t refused = 0;
  for (int i = 0; i < 1'500'000; i++) {
    const uint64_t endpoint = endpoints[random() % kEndpoints];
    Known& known = model[endpoint];
    const Origin origin = random() % 2 ? Origin::kChosen : Origin::kConfigured;
    const auto some_class = static_cast<FlowClasses::Class>(1 + random() % 100);
    switch (random() % 4) {
      case 0: {
        const auto its = x_classes->take_destination(endpoint, origin);
        if (its == 0) {
          refused++;
          break;
        }
        if (known.destinations++ != 0) {
          ASSERT_EQ(its, known.own);
        }
        known.own = its;
        break;
      }
      case 1:
        if (known.destinations == 0) break;
        ASSERT_EQ(x_classes->give_destination(endpoint), known.own);
        if (--known.destinations == 0) known.own = 0;
        break;
      case 2:
        if (!x_classes->take_source(endpoint, some_class, origin)) break;
        if (known.sources++ != 0) {
          ASSERT_EQ(known.answers, some_class);
        }
        known.answers = some_class;
        break;
      default:
        if (known.sources == 0) break;
        x_classes->give_source(endpoint);
        if (--known.sources == 0) known.answers = 0;
    }
    ASSERT_EQ(x_classes->of_destination(endpoint), known.own);
    ASSERT_EQ(x_classes->of_source(endpoint), known.answers);
    if (i % 100'000 != 0) continue;
    for (const auto& [each, its] : model) {
      ASSERT_EQ(x_classes->of_destination(each), its.own);
      ASSERT_EQ(x_classes->of_source(each), its.answers);
    }
  }
  EXPECT_GT(refused, 0u) << "the model is to be fuller than the table";
  for (auto& [each, its] : model) {
    for (; its.destinations != 0; its.destinations--) x_classes->give_destination(each);
    for (; its.sources != 0; its.sources--) x_classes->give_source(each);
  }
  expect_nothing_left();
}

TEST_F(ClassesTest, TakesAsManyAsItSays) {
  std::mt19937_64 random(3);
  std::unordered_set<uint64_t> all;
  while (all.size() < FlowClasses::kMostEndpoints)
    all.insert((random() & 0xffff'ffff'ffff) | uint64_t{17} << 48);
  uint32_t taken = 0;
  for (uint64_t endpoint : all) taken += x_classes->take_source(endpoint, 1, Origin::kConfigured);
  EXPECT_EQ(taken, FlowClasses::kMostEndpoints);
}

TEST_F(ClassesTest, ChosenEndpointsLeaveRoomAndFirstRowsForOthers) {
  // How many services are in no first row, as they meet others of the configuration.
  auto configure = [&] {
    constexpr uint32_t kServices = 10'000;
    auto service = [](uint32_t i) {
      return FlowClasses::key_of(Ipv4{{203, 0, 113, static_cast<uint8_t>(i >> 8)}},
                                 be16(static_cast<uint16_t>(i)), 6);
    };
    uint32_t behind = 0;
    for (uint32_t i = 0; i < kServices; i++)
      EXPECT_NE(x_classes->take_destination(service(i), Origin::kConfigured), 0);
    for (uint32_t i = 0; i < kServices; i++) behind += !is_first(service(i));
    return behind;
  };
  const uint32_t without_flood = configure();
  x_classes = std::make_unique<FlowClasses>(kSecret);
  for (uint32_t i = 0; i < 60'000; i++) x_classes->take_destination(chosen(i), Origin::kChosen);
  EXPECT_EQ(x_classes->size(), FlowClasses::kMostChosen);
  EXPECT_EQ(x_classes->refused(), 60'000 - FlowClasses::kMostChosen);
  EXPECT_EQ(configure(), without_flood);
}

TEST_F(ClassesTest, EndpointsOfAServicesRowMakeWayForIt) {
  // The attacker's endpoints are all of one service's row; its own has none yet.
  const uint64_t victim = FlowClasses::key_of(Ipv4{{203, 0, 113, 9}}, be16(80), 6);
  const auto endpoints = of_row(row(victim), 4000);
  std::vector<uint64_t> taken;
  for (uint64_t endpoint : endpoints)
    if (x_classes->take_destination(endpoint, Origin::kChosen) != 0) taken.push_back(endpoint);
  EXPECT_FALSE(is_first(victim));
  ASSERT_NE(x_classes->take_destination(victim, Origin::kConfigured), 0);
  EXPECT_TRUE(is_first(victim)) << "who was there goes behind";
  for (uint64_t endpoint : taken) ASSERT_NE(x_classes->of_destination(endpoint), 0);
  x_classes->give_destination(victim);
  for (uint64_t endpoint : taken) x_classes->give_destination(endpoint);
  expect_nothing_left();
}

// Endpoints that meet in their first rows and in few lines behind: the lines have 32 rows, all more
// are refused, and nobody looks further.
TEST_F(ClassesTest, EndpointsThatMeetEverywhereAreRefused) {
  uint64_t odd[2];
  for (uint64_t i : {0, 1}) {
    const uint64_t number = 2 + i;
    odd[i] = net::siphash<2, 4>(&number, sizeof number, kSecret) | 1;
  }
  auto meets = [&](uint64_t endpoint) {
    uint64_t hash = endpoint * odd[0];
    hash = (hash ^ hash >> 32) * odd[1];
    return hash >> 55 == 5 && hash << 12 >> 55 == 5;  // eight of 4096 lines each
  };
  std::vector<uint64_t> endpoints;
  for (uint64_t i = 1; endpoints.size() < 200; i++)
    if (const uint64_t endpoint = i | uint64_t{17} << 48; meets(endpoint))
      endpoints.push_back(endpoint);
  std::unordered_set<uint64_t> firsts;
  for (uint64_t endpoint : endpoints) {
    const uint64_t first = of_row(row(endpoint), 1)[0];
    if (firsts.insert(first).second) {
      ASSERT_NE(x_classes->take_destination(first, Origin::kConfigured), 0);
    }
  }
  uint32_t taken = 0;
  for (uint64_t endpoint : endpoints)
    taken += x_classes->take_destination(endpoint, Origin::kConfigured) != 0;
  EXPECT_LE(taken, 32u);
  EXPECT_GT(taken, 16u);
  EXPECT_EQ(x_classes->refused(), 200 - taken);
  uint32_t found = 0;
  for (uint64_t endpoint : endpoints) found += x_classes->of_destination(endpoint) != 0;
  EXPECT_EQ(found, taken);
  for (uint64_t first : firsts) EXPECT_TRUE(is_first(first));
}

// With the secret, all chosen endpoints lie about one row, and nothing is free behind. Linear
// probing looked at 30,000 rows for the service of that row.
TEST_F(ClassesTest, AServiceAmongChosenNeighboursHasItsClass) {
  const uint64_t victim = FlowClasses::key_of(Ipv4{{203, 0, 113, 9}}, be16(80), 6);
  uint32_t tried = 0;
  for (uint64_t i = 1; tried < 30'000; i++) {
    const uint64_t endpoint = i | uint64_t{6} << 48;
    if ((row(victim) - row(endpoint)) % 65536 > 100) continue;
    tried++;
    x_classes->take_destination(endpoint, Origin::kChosen);
  }
  EXPECT_GT(x_classes->refused(), 10'000u);
  const auto its = x_classes->take_destination(victim, Origin::kConfigured);
  EXPECT_NE(its, 0);
  EXPECT_EQ(x_classes->of_destination(victim), its);
}

TEST_F(ClassesTest, GoesToItsFirstRowOnceThatIsFree) {
  const auto two = of_row(77, 2);
  x_classes->take_destination(two[0], Origin::kConfigured);
  const auto its = x_classes->take_destination(two[1], Origin::kConfigured);
  EXPECT_FALSE(is_first(two[1]));
  EXPECT_EQ(x_classes->of_destination(two[1]), its);
  x_classes->give_destination(two[0]);
  EXPECT_EQ(x_classes->of_destination(two[1]), its);
  EXPECT_TRUE(x_classes->may_have(two[1]));
  EXPECT_EQ(x_classes->take_destination(two[1], Origin::kConfigured), its);
  EXPECT_TRUE(is_first(two[1]));
}

}  // namespace
}  // namespace shunt::dataplane
