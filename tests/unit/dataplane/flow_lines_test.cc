// FlowLines against a map, as full as they were made for and fuller, and with keys that are alike.
#include "dataplane/flow_lines.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <unordered_map>
#include <vector>

namespace shunt::dataplane {
namespace {

class LinesTest : public testing::Test {
 protected:
  void make(uint64_t entries, uint64_t seed = 7) {
    x_lines.assign(FlowLines::lines_for(entries), {});
    x_index = {};
    x_index.use(x_lines.data(), static_cast<uint32_t>(x_lines.size()), {seed, 0});
    x_model.clear();
  }
  bool insert(uint64_t key, uint64_t word) {
    if (!x_index.insert(key, word)) return false;
    x_model[word] = key;
    return true;
  }
  uint64_t* find(uint64_t key, uint64_t word) const {
    return x_index.find(key, x_index.hash(key), [word](uint64_t found) { return found == word; });
  }
  void erase(uint64_t word) {
    const uint64_t key = x_model.at(word);
    x_index.erase(key, find(key, word));
    x_model.erase(word);
  }
  void expect_all() const {
    for (auto [word, key] : x_model) {
      const uint64_t* found = find(key, word);
      ASSERT_NE(found, nullptr);
      ASSERT_EQ(*found, word);
    }
    size_t entries = 0;
    for (const FlowLines::Line& line : x_lines)
      for (uint64_t key : line.keys) entries += key << 1 != 0;
    EXPECT_EQ(entries, x_model.size());
  }
  uint64_t some_key() { return (x_random() >> 1) | 1; }

  std::vector<FlowLines::Line> x_lines;
  FlowLines x_index;
  std::unordered_map<uint64_t, uint64_t> x_model;  ///< word → key
  std::mt19937_64 x_random{20261125};
};

TEST_F(LinesTest, TakesAllItWasMadeFor) {
  for (uint32_t entries : {1u, 7u, 100u, 5000u, 300'000u}) {
    for (int round = 0; round < (entries > 5000 ? 2 : 100); round++) {
      make(entries, static_cast<uint64_t>(round));
      for (uint32_t i = 0; i < entries; i++) ASSERT_TRUE(insert(some_key(), i)) << entries;
    }
    expect_all();
  }
}

TEST_F(LinesTest, KeepsAllWhileFullAndChurned) {
  constexpr uint32_t kEntries = 60'000;
  make(kEntries);
  for (uint32_t i = 0; i < kEntries; i++) ASSERT_TRUE(insert(some_key(), i));
  unsigned refused = 0;
  for (int i = 0; i < 2'000'000; i++) {
    uint64_t word = x_random() % kEntries;
    erase(word);
    while (!insert(some_key(), word)) refused++;
  }
  // Sessions then have their other keys: no table is filled with more than half of this.
  EXPECT_LE(refused, 20u);
  expect_all();
}

TEST_F(LinesTest, FindsTheFirstWordOfAKey) {
  make(1000);
  for (uint64_t key = 1; key <= 1000; key++) ASSERT_TRUE(insert(key << 32, key));
  for (uint64_t key = 1; key <= 1000; key++) {
    uint64_t* word = x_index.first_word(x_index.home_of(x_index.hash(key << 32)), key << 32);
    ASSERT_NE(word, nullptr) << key;
    EXPECT_EQ(*word, key);
    const uint64_t no_key = key << 32 | 1;
    EXPECT_EQ(x_index.first_word(x_index.home_of(x_index.hash(no_key)), no_key), nullptr);
  }
}

TEST_F(LinesTest, TellsApartWhatHasOneKey) {
  make(1000);
  for (uint32_t i = 0; i < 8; i++) ASSERT_TRUE(insert(42, i)) << i;
  EXPECT_FALSE(x_index.insert(42, 99));
  expect_all();
  EXPECT_EQ(find(42, 99), nullptr);
  for (uint32_t i = 0; i < 8; i++) {
    erase(i);
    expect_all();
  }
}

// What an attacker could do who knew the secret: keys of one home. The others' are as they were.
TEST_F(LinesTest, ChosenKeysOfOneHomeAreRefusedAndLeaveOthersAlone) {
  constexpr uint32_t kOthers = 20'000;
  make(60'000);
  std::vector<uint64_t> others;
  for (uint32_t i = 0; i < kOthers; i++) {
    others.push_back(some_key());
    ASSERT_TRUE(insert(others.back(), i));
  }
  auto lines_looked_at = [&](uint64_t key) {
    return 1 + x_index.fetch_elsewhere(x_index.home_of(x_index.hash(key)), key);
  };
  uint64_t before = 0;
  for (uint64_t key : others) before += lines_looked_at(key);
  const FlowLines::Line* victim = x_index.home_of(x_index.hash(others[0]));
  uint64_t next = kOthers;
  unsigned refused = 0, taken = 0;
  for (uint64_t key = 1; refused < 50; key++) {
    if (x_index.home_of(x_index.hash(key << 20)) != victim) continue;
    insert(key << 20, next) ? taken++ : refused++;
    next++;
  }
  EXPECT_LE(taken, FlowLines::kPlaces + FlowLines::kMostDisplaced);
  expect_all();
  uint64_t after = 0;
  for (uint64_t key : others) after += lines_looked_at(key);
  EXPECT_LE(after, before + 80) << "a few flows look at one line more, no flow at two";
  while (!x_model.empty()) erase(x_model.begin()->first);
  for (const FlowLines::Line& line : x_lines)
    for (uint64_t key : line.keys) ASSERT_EQ(key, 0u) << "nothing is left, no count either";
}

// Keys whose both lines are those of one key: no way out at all.
TEST_F(LinesTest, ChosenKeysOfTwoLinesAreRefused) {
  make(200);
  uint64_t next = 0;
  unsigned refused = 0;
  const uint64_t first = x_index.hash(3);
  for (uint64_t key = 2; next < 4000; key++) {
    const uint64_t hash = x_index.hash(key << 8);
    // Home and distance as of the first: a fifth of the lines each is near enough.
    if (x_index.home_of(hash) != x_index.home_of(first) || (hash ^ first) << 32 >> 58 != 0)
      continue;
    refused += !insert(key << 8, next++);
  }
  EXPECT_GE(refused, 4000u - FlowLines::kPlaces - FlowLines::kMostDisplaced);
  expect_all();
}

TEST_F(LinesTest, AgreesWithAModel) {
  make(3000);
  // Few keys, so that homes meet often and displaced entries are more than a line can count.
  auto some_key = [&] { return 1 + x_random() % 700; };
  uint64_t next = 0;
  size_t refused = 0;
  for (int i = 0; i < 1'000'000; i++) {
    if (x_random() % 2 && x_model.size() < 3000) {
      refused += !insert(some_key(), next++);
    } else if (!x_model.empty() && next != 0) {
      auto any = x_model.find(next - 1 - x_random() % 3000 % next);
      if (any != x_model.end()) erase(any->first);
    }
    if (i % 50'000 == 0) expect_all();
  }
  expect_all();
  std::printf("refused %zu\n", refused);
  EXPECT_GT(refused, 0u);
}

TEST_F(LinesTest, SpreadsKeysThatAreAlike) {
  constexpr uint32_t kKeys = 1u << 17, kLines = 4096;
  for (uint64_t seed : {0u, 1u, 0xffffffffu}) {
    make(1000, seed);
    for (int kind = 0; kind < 4; kind++) {
      std::vector<uint32_t> homes(kLines), others(kLines);
      for (uint64_t i = 0; i < kKeys; i++) {
        const uint64_t class_bits = uint64_t{5} << 48;
        const uint64_t client = kind == 0   ? (i & 0xffff) << 32 | i >> 16 << 24 | 10  // ports
                                : kind == 1 ? i << 8                                   // addresses
                                : kind == 2 ? (i & 0xff) << 40 | (i >> 8) << 8         // both
                                            : i << 31;
        const uint64_t hash = x_index.hash(client | class_bits);
        homes[hash >> 52]++;
        others[(hash & UINT32_MAX) >> 20]++;
      }
      // 32 are expected; chance gives 32 + 7 * sqrt(32) once in 10^8 or less.
      EXPECT_LE(*std::max_element(homes.begin(), homes.end()), 80u) << kind << " seed " << seed;
      EXPECT_LE(*std::max_element(others.begin(), others.end()), 80u) << kind << " seed " << seed;
    }
  }
}

}  // namespace
}  // namespace shunt::dataplane
