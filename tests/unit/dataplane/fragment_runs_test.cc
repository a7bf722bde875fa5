#include "dataplane/fragment_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/fragment_index.h"
#include "dataplane/fragment_shares.h"

namespace shunt::dataplane {
namespace {

using Added = FragmentRuns::Added;

std::unique_ptr<FragmentRuns> empty_runs() {
  auto runs = std::make_unique<FragmentRuns>();
  runs->clear();
  return runs;
}

TEST(FragmentRuns, InOrderAndReversedKeepToOneRun) {
  for (bool reversed : {false, true}) {
    auto runs = empty_runs();
    for (uint32_t i = 0; i < 100; i++) {
      const uint32_t at = 8 * (reversed ? 99 - i : i);
      EXPECT_FALSE(runs->is_whole(800));
      ASSERT_EQ(runs->add(at, at + 8), Added::kNew);
      ASSERT_EQ(runs->count(), 1u);
    }
    EXPECT_TRUE(runs->is_whole(800));
    EXPECT_FALSE(runs->is_whole(808));
  }
}

TEST(FragmentRuns, FillsTheMostGapsThereMayBe) {
  auto runs = empty_runs();
  for (uint32_t i = 0; i < FragmentRuns::kMost; i++)
    ASSERT_EQ(runs->add(16 * i, 16 * i + 8), Added::kNew);
  EXPECT_EQ(runs->count(), FragmentRuns::kMost);
  EXPECT_EQ(runs->add(16 * 64, 16 * 64 + 8), Added::kTaken);
  EXPECT_EQ(runs->add(16 * 64, 16 * 64 + 16), Added::kOverlaps);
  EXPECT_EQ(runs->add(16 * 64 + 8, 16 * 65), Added::kNew);
  EXPECT_EQ(runs->count(), FragmentRuns::kMost - 1);
}

TEST(FragmentRuns, TellsDuplicatesFromOverlaps) {
  auto runs = empty_runs();
  runs->add(80, 160);
  runs->add(160, 240);
  EXPECT_EQ(runs->add(80, 240), Added::kTaken) << "two fragments hold it together";
  EXPECT_EQ(runs->add(120, 200), Added::kTaken);
  EXPECT_EQ(runs->add(72, 88), Added::kOverlaps);
  EXPECT_EQ(runs->add(232, 248), Added::kOverlaps);
  EXPECT_EQ(runs->add(0, 1000), Added::kOverlaps);
  EXPECT_EQ(runs->add(0, 80), Added::kNew);
  EXPECT_EQ(runs->add(240, 65535), Added::kNew);
  EXPECT_TRUE(runs->is_whole(65535));
}

// Any fragments in any order, compared with a map of every unit of 8 bytes.
TEST(FragmentRuns, EqualsAMapOfBytes) {
  std::mt19937 random(20261201);
  for (int round = 0; round < 500; round++) {
    auto runs = empty_runs();
    std::vector<bool> there(300);
    for (unsigned added = 0; added < FragmentRuns::kMost;) {
      const size_t begin = random() % 290, end = begin + 1 + random() % (round % 2 ? 2 : 9);
      const auto count = static_cast<size_t>(std::count(
          there.begin() + static_cast<long>(begin), there.begin() + static_cast<long>(end), true));
      const Added wanted = count == 0             ? Added::kNew
                           : count == end - begin ? Added::kTaken
                                                  : Added::kOverlaps;
      ASSERT_EQ(runs->add(static_cast<uint32_t>(8 * begin), static_cast<uint32_t>(8 * end)),
                wanted);
      if (wanted == Added::kNew)
        std::fill(there.begin() + static_cast<long>(begin), there.begin() + static_cast<long>(end),
                  true);
      added++;
    }
    unsigned wanted = 0;
    for (size_t i = 0; i < there.size(); i++) wanted += there[i] && (i == 0 || !there[i - 1]);
    ASSERT_EQ(runs->count(), wanted);
  }
}

TEST(FragmentIndex, HoldsNoMoreOfABucketThanItHasWays) {
  FragmentIndex index;
  const uint32_t hash = 77;
  for (uint16_t i = 0; i < FragmentIndex::kWays; i++) {
    EXPECT_EQ(index.in_the_way(hash), FragmentIndex::kNone);
    index.add(hash, i);
  }
  EXPECT_EQ(index.in_the_way(hash), 0) << "the oldest";
  EXPECT_EQ(index.in_the_way(hash + 1), FragmentIndex::kNone);
  index.remove(hash, 0);
  index.remove(hash, 4);
  unsigned asked = 0;
  auto count = [&](uint16_t) {
    asked++;
    return false;
  };
  EXPECT_EQ(index.find(hash, count), FragmentIndex::kNone);
  EXPECT_EQ(asked, FragmentIndex::kWays - 2);
  index.add(hash, 9);
  EXPECT_EQ(index.find(hash, [](uint16_t number) { return number == 9; }), 9);
  EXPECT_EQ(index.find(hash, [](uint16_t number) { return number == 4; }), FragmentIndex::kNone);
  // Another tag is not even asked about.
  EXPECT_EQ(index.find(hash | 1u << 16, [](uint16_t) { return true; }), FragmentIndex::kNone);
}

TEST(FragmentShares, NamesAShareThatHasTheMost) {
  FragmentShares shares;
  auto add = [&](uint16_t number, unsigned datagrams) {
    for (unsigned i = 0; i < datagrams; i++) shares.add_datagram(number);
  };
  add(1, FragmentShares::kMany - 1);
  EXPECT_EQ(shares.largest(), nullptr);
  add(1, 1);
  EXPECT_EQ(shares.largest(), &shares[1]);
  add(2, 2 * FragmentShares::kMany);
  EXPECT_EQ(shares.largest(), &shares[2]);
  add(3, FragmentShares::kMostDatagrams);
  EXPECT_EQ(shares.largest(), &shares[3]);
  for (unsigned i = 0; i < FragmentShares::kMostDatagrams; i++) shares.remove_datagram(3);
  EXPECT_EQ(shares.largest(), &shares[2]);
}

}  // namespace
}  // namespace shunt::dataplane
