#include "share/next_hops.h"

#include <chrono>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "../eal_environment.h"
#include "share/published.h"

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
  auto a = hops->learn(0, v4, mac_of(1)), b = hops->learn(1, v4, mac_of(2)),
       c = hops->learn(0, v6, mac_of(3));
  ASSERT_TRUE(a && b && c);
  EXPECT_NE(*a, *b);
  EXPECT_NE(*a, *c);
  EXPECT_NE(*b, *c);
  EXPECT_EQ(hops->learn(1, v4, mac_of(4)), b);
  EXPECT_EQ(hops->size(), 3u);
  EXPECT_EQ(hops->find(0, v6), *c);
  EXPECT_EQ(hops->find(1, v6), kNoNextHop);
  EXPECT_EQ(hops->address(*c), v6);
  EXPECT_EQ(hops->address(*b), v4);
}

TEST(NextHops, SaysWhatIsKnown) {
  auto hops = hops_of(2);
  Quiescence quiescence(1);
  const MacAddress mac{{0x02, 0x11, 0x22, 0x33, 0x44, 0xff}};
  uint32_t id = *hops->learn(7, numbered(1), mac);
  EXPECT_TRUE(NextHops::is_known(hops->get(id), id));
  EXPECT_EQ(hops->get(id).mac, mac);
  EXPECT_EQ(hops->get(id).port, 7);
  EXPECT_EQ(hops->learn(7, numbered(1), mac_of(9)), id) << "it has another MAC now";
  EXPECT_EQ(hops->get(id).mac, mac_of(9));
  hops->forget(7, numbered(1), quiescence);
  EXPECT_FALSE(NextHops::is_known(hops->get(id), id));
  EXPECT_EQ(hops->get(id).mac, MacAddress{});
  EXPECT_EQ(hops->find(7, numbered(1)), kNoNextHop);
  hops->forget(7, numbered(1), quiescence);  // has none
  EXPECT_EQ(hops->size(), 0u);
}

TEST(NextHops, FullRefusesAndKeepsWhatItHas) {
  for (uint32_t capacity : {1u, 8u, 100u, 65536u}) {
    auto hops = hops_of(capacity);
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < capacity; i++) {
      auto id = hops->learn(0, numbered(i), mac_of(i));
      ASSERT_TRUE(id) << i << " of " << capacity;
      ids.push_back(*id);
    }
    EXPECT_FALSE(hops->learn(0, numbered(capacity), mac_of(1)));
    EXPECT_EQ(hops->find(0, numbered(capacity)), kNoNextHop);
    for (uint32_t i = 0; i < capacity; i++) EXPECT_EQ(hops->find(0, numbered(i)), ids[i]);
    EXPECT_EQ(hops->size(), capacity);
  }
}

TEST(NextHops, ARowIsUsedAgainAfterAGracePeriodOnly) {
  auto hops = hops_of(1);
  Quiescence quiescence(1);
  quiescence.enter(0);
  const uint32_t first = *hops->learn(0, numbered(1), mac_of(1));
  hops->forget(0, numbered(1), quiescence);
  hops->reclaim(quiescence);
  EXPECT_FALSE(hops->learn(0, numbered(2), mac_of(2))) << "a reader may still look at the row";
  quiescence.quiescent(0);
  hops->reclaim(quiescence);
  const auto second = hops->learn(0, numbered(2), mac_of(2));
  ASSERT_TRUE(second);
  EXPECT_EQ(NextHops::row_of(*second), NextHops::row_of(first));
  EXPECT_FALSE(NextHops::is_known(hops->get(first), first)) << "it is another's row now";
  EXPECT_TRUE(NextHops::is_known(hops->get(*second), *second));
  quiescence.leave(0);
}

// An id names one address for as long as the routes have one generation: whoever keeps ids forgets
// them with the routes.
TEST(NextHops, NoIdComesBackBeforeTheRoutesAreOthers) {
  auto hops = hops_of(3);
  Quiescence quiescence(1);
  std::set<uint32_t> ids;
  uint32_t number = 0;
  auto use_up = [&] {
    for (;;) {
      number++;
      const auto id = hops->learn(0, numbered(number), mac_of(number));
      if (!id) break;
      EXPECT_TRUE(ids.insert(*id).second) << "of number " << number;
      EXPECT_NE(*id, kNoNextHop);
      hops->forget(0, numbered(number), quiescence);
      hops->reclaim(quiescence);
    }
  };
  use_up();
  EXPECT_EQ(ids.size(), 3 * NextHops::kLastUse);
  EXPECT_EQ(hops->worn(), 3u);
  ids.clear();
  hops->renew(quiescence);
  hops->reclaim(quiescence);
  EXPECT_EQ(hops->worn(), 0u);
  use_up();
  EXPECT_EQ(ids.size(), 3 * NextHops::kLastUse) << "all of them serve again";
}

TEST(NextHops, RemembersUseOnce) {
  auto hops = hops_of(2);
  uint32_t id = *hops->learn(0, numbered(1), mac_of(1));
  EXPECT_FALSE(hops->take_used(id));
  hops->touch(id);
  hops->touch(id);
  EXPECT_TRUE(hops->is_used(id));
  EXPECT_TRUE(hops->take_used(id));
  EXPECT_FALSE(hops->take_used(id));
}

TEST(NextHops, CountsWhatChanged) {
  auto hops = hops_of(2);
  Quiescence quiescence(1);
  auto changed = [&, before = hops->changes().count()]() mutable {
    return std::exchange(before, hops->changes().count()) != before;
  };
  uint32_t id = *hops->learn(0, numbered(1), mac_of(1));
  EXPECT_TRUE(changed());
  hops->learn(0, numbered(1), mac_of(1));
  EXPECT_FALSE(changed()) << "as it was";
  hops->learn(0, numbered(1), mac_of(2));
  EXPECT_TRUE(changed());
  hops->take_used(id);
  EXPECT_FALSE(changed()) << "was not used";
  hops->touch(id);
  hops->take_used(id);
  EXPECT_TRUE(changed()) << "whoever uses it has to say so again";
  hops->forget(0, numbered(1), quiescence);
  EXPECT_TRUE(changed());
}

// Readers keep ids as sessions do, for as long as they like, while rows are given to other
// addresses all the time: none of them ever sees another address's MAC under an id that is known.
TEST(NextHops, ReadersNeverSeeTheMacOfAnotherAddress) {
  constexpr uint32_t kRows = 64, kAddresses = 500;
  auto hops = hops_of(kRows);
  constexpr unsigned kReaders = 2;
  Quiescence quiescence(kReaders);
  std::atomic<unsigned> started{0};
  std::atomic<bool> done{false};
  std::atomic<uint64_t> wrong{0}, seen{0};
  std::atomic<uint32_t> generation{1};
  std::vector<std::thread> readers;
  for (unsigned r = 0; r < kReaders; r++)
    readers.emplace_back([&, r] {
      quiescence.enter(r);
      started++;
      std::vector<uint32_t> kept(kAddresses, kNoNextHop);
      uint32_t of_routes = 0;
      while (!done) {
        // A worker's turn: the routes first.
        const uint32_t now = generation.load(std::memory_order_acquire);
        if (now != of_routes) kept.assign(kAddresses, kNoNextHop);
        of_routes = now;
        for (uint32_t i = 0; i < kAddresses; i++) {
          if (kept[i] == kNoNextHop) kept[i] = hops->find(3, numbered(i));
          if (kept[i] == kNoNextHop) continue;
          const NextHop hop = hops->get(kept[i]);
          if (!NextHops::is_known(hop, kept[i])) {
            kept[i] = kNoNextHop;
            continue;
          }
          wrong += hop.mac != mac_of(i) || hop.port != 3;
          seen++;
        }
        quiescence.quiescent(r);
        std::this_thread::yield();  // rows come back when all readers had a turn
      }
      quiescence.leave(r);
    });
  while (started != kReaders) std::this_thread::yield();
  uint64_t given = 0;
  uint32_t renewals = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (uint32_t i = 0; std::chrono::steady_clock::now() < end;) {
    const uint32_t wanted = i * 7 % kAddresses, oldest = (i - kRows / 2) * 7 % kAddresses;
    if (hops->learn(3, numbered(wanted), mac_of(wanted))) {
      given++;
      if (++i > kRows / 2) hops->forget(3, numbered(oldest), quiescence);
    } else {
      std::this_thread::yield();
    }
    hops->reclaim(quiescence);
    if (hops->worn() > kRows / 4) {
      generation.fetch_add(1, std::memory_order_release);
      hops->renew(quiescence);
      renewals++;
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(seen, kRows);
  EXPECT_GT(given, 2 * kRows) << "rows were hardly used again";
  RecordProperty("renewals", static_cast<int>(renewals));
}

}  // namespace
}  // namespace shunt::share
