// mh: the numbers of Linux's tables, and the properties every table has.
#include "ipvs/schedulers/mh.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "unit/ipvs/services.h"

namespace shunt::ipvs {
namespace {

/// 192.168.1.1, .2 and .3 with weights 1, 2 and 3, .1 at the head of the list.
Service three() {
  Service service = service_at("198.51.100.1", 80);
  service.scheduler = &kMaglevHash;
  for (int n : {3, 2, 1}) add(service, server_at(n, "192.168.1." + std::to_string(n), 80, n));
  return service;
}

/// `count` servers of weight 1, the one with id `count` at the head.
Service equal(int count) {
  Service service = service_at("198.51.100.1", 80);
  for (int n = count; n >= 1; n--) {
    Ipv4 address = {
        {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)}};
    Server server;
    server.id = n;
    server.endpoint = {address, 80};
    service.servers.push_back(server);
  }
  return service;
}

std::map<uint32_t, int> slots(const Service& service) {
  std::map<uint32_t, int> count;
  for (uint16_t index : service.table) count[service.servers.at(index).id]++;
  return count;
}

Flow from(const char* client, uint16_t port = 0) {
  Address address = *parse_address(client);
  return {.client = address.is_v4() ? fold(address.v4()) : fold(address.v6()), .client_port = port};
}

Pick pick(const Service& service, const Flow& flow) {
  SchedulerState state;
  return kMaglevHash.pick(service, state, flow, idle());
}

TEST(MaglevHash, HashesAsLinuxDoes) {
  EXPECT_EQ(mh_hash(0, 0, 0, kMhOffsetKey), 0x1d5a77c2u);
  EXPECT_EQ(mh_hash(0, 0, 0, kMhSkipKey), 0xf882433fu);
  EXPECT_EQ(mh_hash(0, 1, 0, kMhOffsetKey), 0x16ec66b2u);
  EXPECT_EQ(mh_hash(0, 0, 1, kMhSkipKey), 0x8210aad1u);
  EXPECT_EQ(mh_hash(0xc0a80151, 0, 0, kMhOffsetKey), 0xcd257c3fu);
  EXPECT_EQ(mh_hash(0xc0a80101, 80, 0, kMhSkipKey), 0x932e155fu);
  EXPECT_EQ(mh_hash(0xffffffff, 1, 0, kMhOffsetKey), 0x1d5a77c2u) << "the sum wraps";
}

TEST(MaglevHash, FillsItsTableAsLinuxDoes) {
  Service service = three();
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  ASSERT_EQ(service.table.size(), 4093u);
  EXPECT_EQ(slots(service), (std::map<uint32_t, int>{{1, 683}, {2, 1364}, {3, 2046}}));
  std::string first;
  for (int i = 0; i < 10; i++) first += std::to_string(service.servers[service.table[i]].id);
  EXPECT_EQ(first, "1233332123");
}

TEST(MaglevHash, PicksByAddressAndWithMhPortByPort) {
  Service service = three();
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  Pick p = pick(service, from("10.0.0.1", 12345));
  EXPECT_EQ(p.slot, 3711);
  EXPECT_EQ(picked(service, p), 2u);
  p = pick(service, from("10.9.8.7"));
  EXPECT_EQ(p.slot, 3544);
  EXPECT_EQ(picked(service, p), 3u);
  p = pick(service, from("2001:db8::1"));
  EXPECT_EQ(p.slot, 3457);
  EXPECT_EQ(picked(service, p), 2u);
  service.flags = kSchedFlag2;
  p = pick(service, from("10.0.0.1", 12345));
  EXPECT_EQ(p.slot, 490);
  EXPECT_EQ(picked(service, p), 2u);
}

TEST(MaglevHash, FillsEverySlotOfEverySize) {
  for (int index = 8; index <= 17; index++) {
    Service service = equal(7);
    ASSERT_TRUE(build_mh_table(service, index)) << index;
    ASSERT_EQ(service.table.size(), kMhTableSizes[index - 8]);
    auto count = slots(service);
    EXPECT_EQ(count.size(), 7u);
    for (auto [id, n] : count)
      EXPECT_NEAR(n, service.table.size() / 7.0, 1.0) << "index " << index << " server " << id;
  }
}

TEST(MaglevHash, IsTheSameEveryTime) {
  Service a = three(), b = three();
  ASSERT_TRUE(kMaglevHash.build(a, {}));
  ASSERT_TRUE(kMaglevHash.build(b, {}));
  auto once = b.table;
  ASSERT_TRUE(kMaglevHash.build(b, {}));
  EXPECT_EQ(a.table, b.table);
  EXPECT_EQ(once, b.table);
}

TEST(MaglevHash, DividesAndShiftsWeights) {
  // 1000, 2000, 3000 are 1, 2, 3.
  Service service = three(), same = three();
  for (Server& server : service.servers) server.weight = server.last_weight *= 1000;
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  ASSERT_TRUE(kMaglevHash.build(same, {}));
  EXPECT_EQ(service.table, same.table);
  // 100 and 1 are one bit too wide: 50 turns and 1.
  Service wide = equal(2);
  set_weight(wide, 1, 100);
  ASSERT_TRUE(kMaglevHash.build(wide, {}));
  EXPECT_EQ(slots(wide)[2], (4093 + 50) / 51);
  // The greatest weight ipvsadm takes.
  set_weight(wide, 1, INT32_MAX);
  ASSERT_TRUE(kMaglevHash.build(wide, {}));
  EXPECT_EQ(slots(wide)[2], 4093 / 64 + 1) << "63 turns and 1";
}

TEST(MaglevHash, MovesFewSlotsWhenAServerGoes) {
  Service service = equal(10);
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  Service less = service;
  remove(less, 4);
  ASSERT_TRUE(kMaglevHash.build(less, {}));
  int moved = 0;
  for (size_t i = 0; i < service.table.size(); i++) {
    uint32_t before = service.servers[service.table[i]].id;
    if (before != 4 && before != less.servers[less.table[i]].id) moved++;
  }
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, 4093 / 20);
}

TEST(MaglevHash, AWeightSetToZeroKeepsItsSlotsAndRefuses) {
  Service service = three();
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  auto before = service.table;
  set_weight(service, 2, 0);
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  EXPECT_EQ(service.table, before);
  Pick refused = pick(service, from("10.0.0.1"));
  EXPECT_EQ(refused.index, Pick::kNoPick);
  EXPECT_EQ(refused.slot, 3711);
  EXPECT_EQ(picked(service, pick(service, from("10.9.8.7"))), 3u);

  service.flags = kSchedFlag1;
  Pick fallback = pick(service, from("10.0.0.1"));
  ASSERT_NE(fallback.index, Pick::kNoPick);
  EXPECT_NE(picked(service, fallback), 2u);
  EXPECT_EQ(service.table[fallback.slot], fallback.index);

  for (uint32_t n : {1, 3}) set_weight(service, n, 0);
  EXPECT_EQ(pick(service, from("10.0.0.1")).index, Pick::kNoPick);
}

TEST(MaglevHash, AServerAddedWithWeightZeroHasNoSlots) {
  Service service = three(), with = three();
  add(with, server_at(4, "192.168.1.4", 80, 0));
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  ASSERT_TRUE(kMaglevHash.build(with, {}));
  EXPECT_EQ(slots(with), slots(service));
  set_weight(with, 4, 1);
  ASSERT_TRUE(kMaglevHash.build(with, {}));
  EXPECT_EQ(slots(with).count(4), 1u);
}

TEST(MaglevHash, HasNoTableWithoutAWeight) {
  Service service = equal(0);
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  EXPECT_TRUE(service.table.empty());
  EXPECT_EQ(pick(service, from("10.0.0.1")).index, Pick::kNoPick);
  add(service, server_at(1, "192.168.1.1", 80, 0));
  ASSERT_TRUE(kMaglevHash.build(service, {}));
  EXPECT_TRUE(service.table.empty());
  EXPECT_EQ(pick(service, from("10.0.0.1")).index, Pick::kNoPick);
}

TEST(MaglevHash, RefusesMoreServersThanSlots) {
  Service service = equal(251);
  ASSERT_TRUE(build_mh_table(service, 8));
  EXPECT_EQ(slots(service).size(), 251u);
  add(service, server_at(252, "192.168.1.4", 80));
  auto result = build_mh_table(service, 8);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message,
            "service 198.51.100.1:80 has 252 servers, but mh's table has room for 251: remove "
            "servers or choose another scheduler");
  EXPECT_TRUE(service.table.empty());
  EXPECT_TRUE(build_mh_table(service, 9));
  service = equal(65535);
  EXPECT_TRUE(build_mh_table(service, 17));
  EXPECT_EQ(slots(service).size(), 65535u);
  add(service, server_at(65536, "192.168.1.4", 80));
  EXPECT_FALSE(build_mh_table(service, 17)) << "a slot numbers 65535 servers";
}

TEST(MaglevHash, RefusesAnUnknownTableIndex) {
  Service service = three();
  EXPECT_FALSE(build_mh_table(service, 7));
  EXPECT_FALSE(build_mh_table(service, 18));
  EXPECT_TRUE(service.table.empty());
}

}  // namespace
}  // namespace shunt::ipvs
