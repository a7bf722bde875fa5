// FlowIndex against a map, as full as it was made for and fuller, with hashes that attackers would
// choose if they could; and FlowHash, which makes sure that they cannot.
#include "dataplane/flow_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <unordered_map>
#include <vector>

#include "dataplane/flow_hash.h"

namespace shunt::dataplane {
namespace {

class IndexTest : public testing::Test {
 protected:
  void make(uint64_t entries) {
    x_buckets.assign(FlowIndex::buckets_for(entries), {});
    x_index.use(x_buckets.data(), static_cast<uint32_t>(x_buckets.size()));
  }
  bool insert(uint64_t hash, uint32_t value) {
    if (!x_index.insert(hash, value)) return false;
    x_model[value] = hash;
    return true;
  }
  void erase(uint32_t value) {
    x_index.erase(x_model.at(value), value);
    x_model.erase(value);
  }
  /// Where a lookup of this very value ends.
  uint32_t find(uint64_t hash, uint32_t value) const {
    return x_index.find(hash, [value](uint32_t found) { return found == value; });
  }
  void expect_all() const {
    for (auto [value, hash] : x_model) ASSERT_EQ(find(hash, value), value);
    size_t entries = 0, displaced = 0, counted = 0;
    for (const FlowIndex::Bucket& bucket : x_buckets) {
      counted += bucket.displaced;
      for (unsigned i = 0; i < FlowIndex::kPlaces; i++) {
        entries += bucket.tags[i] != 0;
        displaced += bucket.tags[i] != 0 && (bucket.values[i] & 1);
      }
    }
    EXPECT_EQ(entries, x_model.size());
    EXPECT_EQ(displaced, counted);
  }

  std::vector<FlowIndex::Bucket> x_buckets;
  FlowIndex x_index;
  std::unordered_map<uint32_t, uint64_t> x_model;
  std::mt19937_64 x_random{20261125};
};

TEST_F(IndexTest, TakesAllItWasMadeFor) {
  for (uint32_t entries : {1u, 7u, 100u, 5000u, 300'000u}) {
    for (int round = 0; round < (entries > 5000 ? 2 : 100); round++) {
      x_index = {};
      x_model.clear();
      make(entries);
      for (uint32_t i = 0; i < entries; i++) ASSERT_TRUE(insert(x_random(), i)) << entries;
    }
    expect_all();
  }
}

TEST_F(IndexTest, KeepsAllWhileFullAndChurned) {
  constexpr uint32_t kEntries = 60'000;
  make(kEntries);
  for (uint32_t i = 0; i < kEntries; i++) ASSERT_TRUE(insert(x_random(), i));
  for (int i = 0; i < 2'000'000; i++) {
    auto value = static_cast<uint32_t>(x_random() % kEntries);
    erase(value);
    ASSERT_TRUE(insert(x_random(), value));
  }
  expect_all();
}

TEST_F(IndexTest, TakesHalfAsManyMore) {
  constexpr uint32_t kEntries = 60'000;
  make(kEntries);
  for (uint32_t i = 0; i < kEntries * 3 / 2; i++) ASSERT_TRUE(insert(x_random(), i)) << i;
  expect_all();
}

TEST_F(IndexTest, TellsApartWhatHasOneHash) {
  make(1000);
  for (uint32_t i = 0; i < 20; i++) ASSERT_TRUE(insert(0x1234'5678'9abc'def0, i)) << i;
  EXPECT_FALSE(x_index.insert(0x1234'5678'9abc'def0, 99));
  expect_all();
  EXPECT_EQ(find(0x1234'5678'9abc'def0, 99), FlowIndex::kNone);
  for (uint32_t i = 0; i < 6; i++) {
    erase(i * 3);
    expect_all();
  }
}

TEST_F(IndexTest, MakesRoomForNeighbours) {
  make(1000);
  // One home for all, many other buckets: most have to leave home.
  for (uint32_t i = 0; i < 200; i++) ASSERT_TRUE(insert(0x4000'0000'0000'0000 + i * 321, i)) << i;
  expect_all();
  while (!x_model.empty()) erase(x_model.begin()->first);
  for (const FlowIndex::Bucket& bucket : x_buckets) ASSERT_EQ(bucket.displaced, 0u);
}

// What an attacker could do who knew the secret: hashes of one home, with tags of all kinds. What a
// bucket counts would run over at 65,536.
TEST_F(IndexTest, ChosenHashesOfOneHomeAreRefused) {
  make(600'000);
  constexpr uint64_t kHome = 0x4000'0000'0000'0000;
  unsigned refused = 0;
  for (uint32_t i = 0; i < 70'000; i++) refused += !insert(kHome + i % 65536, i);
  EXPECT_EQ(refused, 70'000 - FlowIndex::kPlaces - FlowIndex::kMostDisplaced);
  expect_all();
  while (!x_model.empty()) erase(x_model.begin()->first);
  for (const FlowIndex::Bucket& bucket : x_buckets) ASSERT_EQ(bucket.displaced, 0u);
}

TEST_F(IndexTest, AgreesWithAModel) {
  make(3000);
  uint32_t next = 0;
  // Few hashes, so that homes and tags meet often.
  auto some_hash = [&] { return (x_random() % 400) << 55 | (x_random() % 50); };
  size_t refused = 0;
  for (int i = 0; i < 1'000'000; i++) {
    if (x_random() % 2 && x_model.size() < 3000) {
      refused += !insert(some_hash(), next++);
    } else if (!x_model.empty()) {
      auto any = x_model.find(static_cast<uint32_t>(next - 1 - x_random() % 3000 % next));
      if (any != x_model.end()) erase(any->first);
    }
    if (i % 50'000 == 0) expect_all();
  }
  expect_all();
  std::printf("refused %zu\n", refused);
}

template <class F>
class HashTest : public testing::Test {};
using Families = testing::Types<net::V4, net::V6>;
TYPED_TEST_SUITE(HashTest, Families);

/// Number `i` of a family of tuples that differ in little.
template <class F>
net::Tuple<F> tuple_of(int kind, uint32_t i) {
  net::Tuple<F> tuple{};
  tuple.protocol = 6;
  tuple.source.bytes[0] = 10;
  tuple.destination.bytes[0] = 192;
  tuple.destination_port = be16(80);
  auto spread = [i](auto& bytes) {
    for (unsigned k = 0; k < 3; k++) bytes[bytes.size() - 1 - k] = static_cast<uint8_t>(i >> 8 * k);
  };
  switch (kind) {
    case 0:  // one client's ports, several clients
      tuple.source_port = be16(static_cast<uint16_t>(i));
      tuple.source.bytes.back() = static_cast<uint8_t>(i >> 16);
      break;
    case 1:  // neighbours
      spread(tuple.source.bytes);
      break;
    case 2:  // what keeps sums and exclusive ors of the words
      spread(tuple.source.bytes);
      spread(tuple.destination.bytes);
      break;
    default:  // the highest bits alone
      tuple.source.bytes[0] = static_cast<uint8_t>(i);
      tuple.source.bytes[1] = static_cast<uint8_t>(i >> 8);
      tuple.destination.bytes[0] = static_cast<uint8_t>(i >> 16);
  }
  return tuple;
}

TYPED_TEST(HashTest, IsTheSameInPieces) {
  FlowHash hash({7, 0});
  for (uint32_t i = 0; i < 1000; i++) {
    net::Tuple<TypeParam> tuple = tuple_of<TypeParam>(static_cast<int>(i % 4), i * 7919);
    Ends<TypeParam> ends = ends_of(tuple);
    EXPECT_EQ(hash(tuple), hash.of<TypeParam>(reinterpret_cast<const uint8_t*>(&ends), 6));
  }
}

TYPED_TEST(HashTest, SpreadsTuplesThatAreAlike) {
  constexpr uint32_t kTuples = 1u << 17, kBuckets = 4096;
  for (uint64_t seed : {0u, 1u, 0xffffffffu}) {
    FlowHash hash({seed, 0});
    for (int kind = 0; kind < 4; kind++) {
      std::vector<uint32_t> homes(kBuckets), tags(kBuckets);
      for (uint32_t i = 0; i < kTuples; i++) {
        uint64_t value = hash(tuple_of<TypeParam>(kind, i));
        homes[value >> 52]++;
        tags[value & (kBuckets - 1)]++;
      }
      // 32 are expected; chance gives 32 + 7 * sqrt(32) once in 10^8 or less.
      EXPECT_LE(*std::max_element(homes.begin(), homes.end()), 80u) << kind;
      EXPECT_LE(*std::max_element(tags.begin(), tags.end()), 80u) << kind;
    }
  }
}

TYPED_TEST(HashTest, KeepsNoCollisionUnderAnotherKey) {
  FlowHash one({1, 0}), other({2, 0});
  std::unordered_map<uint64_t, uint32_t> seen;
  unsigned met = 0, again = 0;
  for (uint32_t i = 0; i < 1u << 17; i++) {
    net::Tuple<TypeParam> tuple = tuple_of<TypeParam>(0, i);
    auto [it, fresh] = seen.emplace(one(tuple) >> 36, i);
    if (fresh) continue;
    met++;
    again += other(tuple) >> 36 == other(tuple_of<TypeParam>(0, it->second)) >> 36;
  }
  EXPECT_GT(met, 10u);
  EXPECT_LE(again, 1u);
}

}  // namespace
}  // namespace shunt::dataplane
