#include "ipvs/endpoint_shards.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace shunt::ipvs {
namespace {

template <class F>
class EndpointShardsTest : public testing::Test {
 protected:
  using Shards = EndpointShards<F, uint32_t>;

  /// Number `i` of many keys that differ little.
  static auto key(uint32_t i) {
    typename F::Address address{};
    address.bytes[address.bytes.size() - 1] = static_cast<uint8_t>(i);
    address.bytes[0] = static_cast<uint8_t>(i >> 8 & 3);
    return Shards::key_of(static_cast<uint8_t>(6 + (i & 1)), address, static_cast<uint16_t>(i));
  }
  static void expect_equal(const Shards& shards, const std::map<uint32_t, uint32_t>& model) {
    EXPECT_EQ(shards.size(), model.size());
    for (uint32_t i = 0; i < kKeys; i++) {
      const uint32_t* found = shards.find(key(i));
      auto wanted = model.find(i);
      ASSERT_EQ(found != nullptr, wanted != model.end()) << i;
      if (found) {
        EXPECT_EQ(*found, wanted->second) << i;
      }
    }
  }
  static constexpr uint32_t kKeys = 3000;
};

using Families = testing::Types<net::V4, net::V6>;
TYPED_TEST_SUITE(EndpointShardsTest, Families);

TYPED_TEST(EndpointShardsTest, IsAMapWhoseCopiesStayAsTheyWere) {
  using Shards = typename TestFixture::Shards;
  std::mt19937 random(7);
  Shards shards;
  std::map<uint32_t, uint32_t> model;
  for (int round = 0; round < 12; round++) {
    const Shards before = shards;
    const std::map<uint32_t, uint32_t> model_before = model;
    // Grows in even rounds, shrinks in odd ones, to nothing in the last.
    for (int n = 0; n < 2000; n++) {
      uint32_t i = random() % this->kKeys;
      if (random() % 4 < (round % 2 ? 1u : 3u))
        shards.at(this->key(i)) = model[i] = random();
      else
        shards.erase(this->key(i)), model.erase(i);
    }
    if (round == 11)
      for (uint32_t i = 0; i < this->kKeys; i++) shards.erase(this->key(i)), model.erase(i);
    this->expect_equal(shards, model);
    this->expect_equal(before, model_before);

    size_t told = 0, differ = 0;
    shards.each_difference(before, [&](const uint32_t* had, const uint32_t* has) {
      told++;
      EXPECT_TRUE(!had || !has || *had != *has);
    });
    for (uint32_t i = 0; i < this->kKeys; i++) {
      auto had = model_before.find(i);
      auto has = model.find(i);
      differ += (had == model_before.end()) != (has == model.end()) ||
                (had != model_before.end() && had->second != has->second);
    }
    EXPECT_EQ(told, differ);
  }
  EXPECT_EQ(shards.size(), 0u);
}

TYPED_TEST(EndpointShardsTest, AChangeCopiesOneShard) {
  using Shards = typename TestFixture::Shards;
  Shards shards;
  for (uint32_t i = 0; i < this->kKeys; i++) shards.at(this->key(i)) = i;
  Shards other = shards;
  EXPECT_EQ(other.shards_apart(shards), 0u);
  other.erase(this->key(this->kKeys));
  EXPECT_EQ(other.shards_apart(shards), 0u) << "there was nothing to erase";
  other.at(this->key(1))++;
  other.at(this->key(1))++;
  EXPECT_EQ(other.shards_apart(shards), 1u);
  EXPECT_EQ(*shards.find(this->key(1)), 1u);
  EXPECT_EQ(*other.find(this->key(1)), 3u);
}

}  // namespace
}  // namespace shunt::ipvs
