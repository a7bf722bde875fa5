// lblc and lblcr: what they remember, for how long, and with how little room.
#include "ipvs/schedulers/locality.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

constexpr uint64_t kHour = uint64_t{3600} * 1'000'000'000;

Service with_weights(const char* scheduler, std::initializer_list<int32_t> weights) {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = find_scheduler(scheduler);
  begin(service, 2);
  uint32_t n = 0;
  for (int32_t weight : weights) {
    n++;
    add(service, server_at(n, "10.1.0." + std::to_string(n), 80, weight));
  }
  EXPECT_TRUE(service.scheduler->build(service, {}));
  return service;
}

class Locality : public testing::Test {
 protected:
  uint32_t pick(const Service& service, uint32_t vip, uint64_t now = kHour, unsigned worker = 0) {
    const be32 address(vip);
    Flow flow = {.address_size = 4, .virtual_bytes = reinterpret_cast<const uint8_t*>(&address)};
    SchedulerState state;
    Now at = x_loads.now(now);
    at.worker = worker;
    return picked(service, service.scheduler->pick(service, state, flow, at));
  }
  TestLoads x_loads;
};

TEST_F(Locality, AnAddressKeepsItsServer) {
  Service service = with_weights("lblc", {4, 4});
  EXPECT_EQ(pick(service, 1), 2u);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 2), 1u);
  x_loads[1].active.add(1);
  x_loads[2].active.add(2);
  for (int i = 0; i < 3; i++) EXPECT_EQ(pick(service, 1), 2u);
  x_loads[2].active.add(2);  // 5 are more than 4, and server 1 has less than half
  EXPECT_EQ(pick(service, 1), 1u);
  EXPECT_EQ(pick(service, 2), 1u);
}

TEST_F(Locality, AnOverloadMarkMovesNoAddressOfLblc) {
  Service service = with_weights("lblc", {4, 4});
  EXPECT_EQ(pick(service, 1), 2u);
  x_loads.limits(2).overloaded = 1;
  EXPECT_EQ(pick(service, 1), 2u);
  EXPECT_EQ(pick(service, 2), 1u);
}

TEST_F(Locality, WeightZeroAndRemovalMoveItAndAddingAgainDoesNot) {
  for (const char* name : {"lblc", "lblcr"}) {
    Service service = with_weights(name, {4, 4});
    EXPECT_EQ(pick(service, 1), 2u) << name;
    set_weight(service, 2, 0);
    EXPECT_EQ(pick(service, 1), 1u) << name;
    set_weight(service, 2, 4);
    remove(service, 1);
    ASSERT_TRUE(service.scheduler->build(service, {}));
    EXPECT_EQ(pick(service, 1), 2u) << name;
    remove(service, 2);
    ASSERT_TRUE(service.scheduler->build(service, {}));
    EXPECT_EQ(pick(service, 1), 0u) << name;
  }
}

TEST_F(Locality, IsForgottenAfterADayWithoutUse) {
  Service service = with_weights("lblc", {4, 4});
  EXPECT_EQ(pick(service, 1), 2u);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1, 24 * kHour), 2u);      // 23 hours later
  EXPECT_EQ(pick(service, 1, 48 * kHour - 1), 2u);  // not quite a day
  EXPECT_EQ(pick(service, 1, 72 * kHour - 1), 1u);
}

TEST_F(Locality, TheKnobSaysWhen) {
  Service service = with_weights("lblc", {4, 4});
  Knobs knobs;
  knobs.set(Knob::kLblcExpiration, 60);
  x_loads.knobs.set(knobs);
  EXPECT_EQ(pick(service, 1, 0), 2u);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1, 59'999'999'999), 2u);
  EXPECT_EQ(pick(service, 1, 119'999'999'999), 1u);
}

TEST_F(Locality, ASetGrowsWhenItIsCrowdedAndShrinksAfterADay) {
  Service service = with_weights("lblcr", {2, 2, 2});
  EXPECT_EQ(pick(service, 1), 3u);
  x_loads[3].active.add(3);
  EXPECT_EQ(pick(service, 1), 2u);  // 3 and 2 now
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1), 2u);
  x_loads[3].active.subtract(2);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1, 2 * kHour), 3u);  // used, but the set is as it was
  // More than a day after its last change the most loaded leaves it: 2.
  EXPECT_EQ(pick(service, 1, 25 * kHour + 1), 3u);
  x_loads[3].active.add(1), x_loads[2].active.subtract(2);
  EXPECT_EQ(pick(service, 1, 26 * kHour), 3u);
}

TEST_F(Locality, WorkersRememberByThemselves) {
  Service service = with_weights("lblc", {4, 4});
  EXPECT_EQ(pick(service, 1), 2u);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1, kHour, 1), 1u);
  EXPECT_EQ(pick(service, 1), 2u);
  EXPECT_EQ(pick(service, 1, kHour, 99), 1u) << "a worker without a map picks as wlc";
}

TEST_F(Locality, WithoutRoomPicksAreGoodAndOldPlacesAreSweptOut) {
  Service service = with_weights("lblc", {4, 4});
  for (uint32_t vip = 0; vip < LocalityMap::kPlaces; vip++) ASSERT_EQ(pick(service, vip), 2u);
  x_loads[2].active.add(1);
  EXPECT_EQ(pick(service, 1'000'000), 1u);  // no room
  x_loads[2].active.subtract(1);
  x_loads[1].active.add(1);
  EXPECT_EQ(pick(service, 1'000'000), 2u) << "so it was not remembered";
  EXPECT_EQ(pick(service, 7), 2u);
  const uint64_t later = kHour + LocalityMap::kSafe;
  EXPECT_EQ(pick(service, 1'000'000, later), 2u);
  x_loads[2].active.add(3);
  EXPECT_EQ(pick(service, 1'000'000, later), 2u) << "now it was";
}

TEST_F(Locality, AMapUsesItsRoomAgain) {
  Service service = with_weights("lblcr", {1});
  uint64_t now = kHour;
  for (int round = 0; round < 5; round++, now += 25 * kHour)
    for (uint32_t vip = 0; vip < LocalityMap::kPlaces; vip++)
      ASSERT_EQ(pick(service, round * 100'000 + vip, now), 1u);
  const Now at = x_loads.now(now);
  LocalityMap* map = locality_map(service, at);
  ASSERT_NE(map, nullptr);
  const be32 address(4 * 100'000 + 5);
  Flow flow = {.address_size = 4, .virtual_bytes = reinterpret_cast<const uint8_t*>(&address)};
  EXPECT_NE(map->find(flow, x_loads.now(now - 25 * kHour), INT64_MAX), nullptr);
}

TEST_F(Locality, AddressesThatOutsidersChooseDoNotMeet) {
  // With the former hash, the exclusive or of an address's words, all of these were in one bucket,
  // which a pick walked.
  Service service = with_weights("lblc", {1});
  const Now now = x_loads.now(kHour);
  LocalityMap* map = locality_map(service, now);
  ASSERT_NE(map, nullptr);
  std::map<uint32_t, uint32_t> buckets;
  for (uint32_t i = 0; i < 10'000; i++) {
    const std::array<uint32_t, 4> address = {i, i, 0, 1};
    const Flow flow = {.address_size = 16,
                       .virtual_bytes = reinterpret_cast<const uint8_t*>(address.data())};
    LocalityMap::Place* place = map->add(flow, now);
    ASSERT_NE(place, nullptr);
    buckets[place->bucket]++;
  }
  uint32_t longest = 0;
  for (auto [bucket, length] : buckets) longest = std::max(longest, length);
  EXPECT_LE(longest, 12u);
}

TEST_F(Locality, ABucketIsBoundedWhateverTheKeyIs) {
  Service service = with_weights("lblc", {1});
  const Now now = x_loads.now(kHour);
  LocalityMap* map = locality_map(service, now);
  // As an attacker who knows the key would: only addresses of one bucket.
  uint32_t added = 0, refused = 0;
  for (uint32_t i = 0; added + refused < 2 * LocalityMap::kLongest; i++) {
    const std::array<uint32_t, 4> address = {i, 0, 0, 0};
    const uint64_t hash = net::siphash<1, 3>(address.data(), sizeof address, now.keys->addresses);
    if (hash % LocalityMap::kPlaces != 7) continue;
    const Flow flow = {.address_size = 4,
                       .virtual_bytes = reinterpret_cast<const uint8_t*>(address.data())};
    if (const LocalityMap::Place* place = map->add(flow, now)) {
      ASSERT_EQ(place->bucket, 7u);
      added++;
    } else {
      refused++;
    }
  }
  EXPECT_EQ(added, LocalityMap::kLongest);
  const uint32_t other = 1;
  const Flow flow = {.address_size = 4, .virtual_bytes = reinterpret_cast<const uint8_t*>(&other)};
  EXPECT_NE(map->add(flow, now), nullptr) << "others have room";
}

}  // namespace
}  // namespace shunt::ipvs
