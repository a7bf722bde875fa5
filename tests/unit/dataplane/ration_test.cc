#include "dataplane/ration.h"

#include <gtest/gtest.h>

#include <set>

namespace shunt::dataplane {
namespace {

TEST(Ration, OneNetworkGetsHalfAndTheOthersTheirShares) {
  constexpr uint32_t kRows = 1600;
  Ration ration(kRows);
  for (uint32_t i = 0; i < kRows / 2; i++) EXPECT_TRUE(ration.take(7)) << i;
  EXPECT_FALSE(ration.take(7));
  for (uint16_t group : {8, 9})
    for (uint32_t i = 0; i <= kRows / 16; i++) EXPECT_EQ(ration.take(group), i < kRows / 16) << i;
  ration.give_back(8);
  EXPECT_TRUE(ration.take(8));
  // Half of all are free again, once enough were given back.
  for (uint32_t i = 0; i < kRows / 2; i++) ration.give_back(7);
  EXPECT_TRUE(ration.take(9));
}

TEST(Ration, GroupsAreNetworks) {
  const auto group = [](const char* client) {
    const Address address = *parse_address(client);
    return address.is_v4() ? Ration::group_of<net::V4>(address.v4())
                           : Ration::group_of<net::V6>(address.v6());
  };
  EXPECT_EQ(group("203.0.113.1"), group("203.0.113.254"));
  EXPECT_NE(group("203.0.113.1"), group("203.0.114.1"));
  EXPECT_EQ(group("2001:db8:cafe:1::1"), group("2001:db8:cafe:2::1"));
  EXPECT_NE(group("2001:db8:cafe::1"), group("2001:db8:caff::1"));
  std::set<uint16_t> seen;
  for (unsigned i = 0; i < 256; i++)
    seen.insert(group(("10.0." + std::to_string(i) + ".1").c_str()));
  EXPECT_GT(seen.size(), 200u);
  for (uint16_t one : seen) EXPECT_LT(one, Ration::kGroups);
}

}  // namespace
}  // namespace shunt::dataplane
