// The table of schedulers and the folding of addresses.
#include "ipvs/scheduler.h"

#include <gtest/gtest.h>

namespace shunt::ipvs {
namespace {

TEST(Scheduler, IsFoundByItsName) {
  EXPECT_EQ(find_scheduler("rr"), &kRoundRobin);
  EXPECT_EQ(find_scheduler("mh"), &kMaglevHash);
  EXPECT_EQ(find_scheduler("RR"), nullptr);
  EXPECT_EQ(find_scheduler(""), nullptr);
  EXPECT_EQ(find_scheduler("bogus"), nullptr);
}

TEST(Scheduler, HasTheNamesOfIpvsAndItsOwn) {
  for (auto name : {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf",
                    "mh", "twos", "none", "maglev"}) {
    ASSERT_NE(find_scheduler(name), nullptr) << name;
    EXPECT_EQ(find_scheduler(name)->name, name);
  }
  for (auto name : {"", "bogus", "w", "wlcx"}) EXPECT_EQ(find_scheduler(name), nullptr) << name;
}

TEST(Fold, IsIpv4InHostOrder) {
  EXPECT_EQ(fold(parse_address("192.168.1.81")->v4()), 0xc0a80151u);
  EXPECT_EQ(fold(parse_address("255.0.0.1")->v4()), 0xff000001u);
}

TEST(Fold, IsTheXorOfIpv6Words) {
  EXPECT_EQ(fold(parse_address("2001:db8::1")->v6()), 0x20010db8u ^ 1u);
  EXPECT_EQ(fold(parse_address("1234:5678:9abc:def0:1111:2222:3333:4444")->v6()),
            0x12345678u ^ 0x9abcdef0u ^ 0x11112222u ^ 0x33334444u);
}

}  // namespace
}  // namespace shunt::ipvs
