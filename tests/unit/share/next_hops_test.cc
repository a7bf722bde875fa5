#include "share/next_hops.h"

#include <thread>

#include "../eal_environment.h"

namespace shunt::share {
namespace {

std::unique_ptr<NextHops> hops_of(uint32_t capacity) {
  auto hops = NextHops::create("test", capacity);
  if (!hops) ADD_FAILURE() << hops.error().message;
  return hops ? std::move(*hops) : nullptr;
}

Address numbered(uint32_t n) {
  Ipv4 address{{10, uint8_t(n >> 16), uint8_t(n >> 8), uint8_t(n)}};
  return address;
}

/// A MAC that tells the state and the row it belongs to.
MacAddress mac_of(uint32_t n) {
  return {{2, uint8_t(n >> 24), uint8_t(n >> 16), uint8_t(n >> 8), uint8_t(n), uint8_t(n)}};
}

TEST(NextHops, TellsPortsAndFamiliesApart) {
  auto hops = hops_of(10);
  Address v4 = *parse_address("10.0.0.1"), v6 = *parse_address("a00:1::");  // the same bytes
  ASSERT_EQ(v4.bytes, v6.bytes);
  auto a = hops->intern(0, v4), b = hops->intern(1, v4), c = hops->intern(0, v6);
  ASSERT_TRUE(a && b && c);
  EXPECT_NE(*a, *b);
  EXPECT_NE(*a, *c);
  EXPECT_NE(*b, *c);
  EXPECT_EQ(hops->intern(1, v4), b);
  EXPECT_EQ(hops->size(), 3u);
  EXPECT_EQ(hops->find(0, v6), *c);
  EXPECT_EQ(hops->find(1, v6), kNoNextHop);
  EXPECT_EQ(hops->address(*c), v6);
  EXPECT_EQ(hops->address(*b), v4);
}

TEST(NextHops, SaysWhatIsKnown) {
  auto hops = hops_of(2);
  uint32_t id = *hops->intern(7, numbered(1));
  EXPECT_EQ(hops->get(id).state, NextHop::kUnresolved);
  EXPECT_EQ(hops->get(id).port, 7);
  MacAddress mac{{0x02, 0x11, 0x22, 0x33, 0x44, 0xff}};
  hops->set(id, NextHop::kReachable, mac);
  EXPECT_EQ(hops->get(id).state, NextHop::kReachable);
  EXPECT_EQ(hops->get(id).mac, mac);
  EXPECT_EQ(hops->get(id).port, 7);
  hops->set(id, NextHop::kFailed, {});
  EXPECT_EQ(hops->get(id).state, NextHop::kFailed);
  EXPECT_EQ(hops->get(id).mac, MacAddress{});
}

TEST(NextHops, FullRefusesAndKeepsWhatItHas) {
  for (uint32_t capacity : {1u, 8u, 100u}) {
    auto hops = hops_of(capacity);
    for (uint32_t i = 0; i < capacity; i++) ASSERT_EQ(hops->intern(0, numbered(i)), i);
    EXPECT_FALSE(hops->intern(0, numbered(capacity)));
    EXPECT_EQ(hops->find(0, numbered(capacity)), kNoNextHop);
    for (uint32_t i = 0; i < capacity; i++) EXPECT_EQ(hops->intern(0, numbered(i)), i);
    EXPECT_EQ(hops->size(), capacity);
  }
}

TEST(NextHops, RemembersUseOnce) {
  auto hops = hops_of(2);
  uint32_t id = *hops->intern(0, numbered(1));
  EXPECT_FALSE(hops->take_used(id));
  hops->touch(id);
  hops->touch(id);
  EXPECT_TRUE(hops->take_used(id));
  EXPECT_FALSE(hops->take_used(id));
}

TEST(NextHops, CountsWhatChanged) {
  auto hops = hops_of(2);
  uint32_t id = *hops->intern(0, numbered(1));
  const uint64_t before = hops->changes().count();
  const MacAddress mac{{2, 0, 0, 0, 0, 1}};
  hops->set(id, NextHop::kReachable, mac);
  EXPECT_EQ(hops->changes().count(), before + 1);
  hops->set(id, NextHop::kReachable, mac);
  EXPECT_EQ(hops->changes().count(), before + 1) << "as it was";
  hops->set(id, NextHop::kFailed, mac);
  EXPECT_EQ(hops->changes().count(), before + 2);
  hops->take_used(id);
  EXPECT_EQ(hops->changes().count(), before + 2) << "was not used";
  hops->touch(id);
  hops->take_used(id);
  EXPECT_EQ(hops->changes().count(), before + 3) << "whoever uses it has to say so again";
}

TEST(NextHops, ReadersSeeWholeRowsWhileTheWriterWorks) {
  constexpr uint32_t kRows = 3000;
  auto hops = hops_of(kRows);
  std::atomic<bool> started{false}, done{false};
  std::atomic<uint32_t> wrong{0}, seen{0};
  std::thread reader([&] {
    for (bool last = false; !last;) {
      last = done;
      started = true;
      uint32_t known = hops->size();  // rows below are interned: they must be found from now on
      for (uint32_t i = 0; i < kRows; i += 1 + i / 64) {
        uint32_t id = hops->find(3, numbered(i));
        if (id == kNoNextHop) {
          wrong += i < known;
          continue;
        }
        NextHop hop = hops->get(id);
        bool whole = hop.state == NextHop::kUnresolved
                         ? hop.mac == MacAddress{}
                         : hop.mac == mac_of(i) || hop.mac == mac_of(i + kRows);
        wrong += id != i || hop.port != 3 || !whole;
        seen++;
      }
    }
  });
  while (!started) std::this_thread::yield();
  for (uint32_t i = 0; i < kRows; i++) {
    EXPECT_EQ(hops->intern(3, numbered(i)), i);
    hops->set(i, NextHop::kReachable, mac_of(i));
    hops->set(i / 2, NextHop::kReachable, mac_of(i / 2 + kRows));
  }
  for (uint32_t i = 0; i < 20 * kRows; i++) {
    uint32_t row = i * 7 % kRows;
    hops->set(row, NextHop::kReachable, mac_of(i % 2 ? row : row + kRows));
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(seen, 0u);
}

}  // namespace
}  // namespace shunt::share
