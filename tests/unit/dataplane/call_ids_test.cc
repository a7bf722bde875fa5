#include "dataplane/call_ids.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace shunt::dataplane {
namespace {

TEST(CallIds, FindsTheTemplateThatIsIt) {
  CallIds ids({1, 2}, 8);
  for (uint32_t session : {5u, 6u}) ids.belongs(ids.add("", "same"), session);
  auto find = [&](uint32_t wanted) {
    return ids.find("", "same", [&](uint32_t session) { return session == wanted; });
  };
  EXPECT_EQ(find(5), 5u);
  EXPECT_EQ(find(6), 6u);
  EXPECT_EQ(find(7), CallIds::kNone);
  EXPECT_EQ(ids.find("", "sam", [](uint32_t) { return true; }), CallIds::kNone);
}

TEST(CallIds, AFullTableRefusesAndGoesOn) {
  CallIds ids({1, 2}, 2);
  uint32_t first = ids.add("", "a");
  EXPECT_NE(ids.add("", std::string(net::kMostCallId, 'b')), CallIds::kNone);
  EXPECT_EQ(ids.add("", "c"), CallIds::kNone);
  ids.remove(first);
  uint32_t again = ids.add("", "c");
  EXPECT_NE(again, CallIds::kNone);
  EXPECT_EQ(ids.text(again), "c");
}

// The same operations on a map.
TEST(CallIds, DoesWhatAMapDoes) {
  CallIds ids({7, 2}, 64);
  std::map<std::string, std::pair<uint32_t, uint32_t>> model;  // row, session
  std::mt19937 random(1);
  for (uint32_t i = 0; i < 20000; i++) {
    std::string call = "call-" + std::to_string(random() % 90);
    auto known = model.find(call);
    if (known == model.end()) {
      uint32_t row = ids.add("", call);
      ASSERT_EQ(row == CallIds::kNone, model.size() == 64);
      if (row == CallIds::kNone) continue;
      ids.belongs(row, i);
      model[call] = {row, i};
    } else if (random() % 2) {
      ids.remove(known->second.first);
      model.erase(known);
    }
    for (const auto& [text, where] : model) {
      if (random() % 16) continue;
      ASSERT_EQ(ids.text(where.first), text);
      ASSERT_EQ(ids.find("", text, [](uint32_t) { return true; }), where.second);
    }
  }
}

TEST(CallIds, ManyOfOneCallIdAreApart) {
  CallIds ids({7, 2});
  // A flood of one Call-ID from many clients: each has a name of its own.
  for (uint32_t client = 0; client < 100'000; client++) {
    const std::string_view name(reinterpret_cast<const char*>(&client), sizeof client);
    const uint32_t row = ids.add(name, "flood");
    ASSERT_NE(row, CallIds::kNone) << client;
    ids.belongs(row, client);
  }
  uint32_t looked_at = 0;
  for (uint32_t client = 0; client < 100'000; client++) {
    const std::string_view name(reinterpret_cast<const char*>(&client), sizeof client);
    ASSERT_EQ(ids.find(name, "flood",
                       [&](uint32_t session) {
                         looked_at++;
                         return session == client;
                       }),
              client);
  }
  EXPECT_LT(looked_at, 200'000u);
}

TEST(CallIds, AChainIsBoundedWhateverTheKeyIs) {
  CallIds ids({7, 2});
  // With one name and one text all have one hash, as an attacker who knows the key has it for many.
  std::vector<uint32_t> rows;
  for (uint32_t i = 0; i < CallIds::kLongest; i++) rows.push_back(ids.add("name", "text"));
  for (uint32_t row : rows) ASSERT_NE(row, CallIds::kNone);
  EXPECT_EQ(ids.add("name", "text"), CallIds::kNone);
  EXPECT_NE(ids.add("other", "text"), CallIds::kNone);
  ids.remove(rows[3]);
  EXPECT_NE(ids.add("name", "text"), CallIds::kNone);
}

}  // namespace
}  // namespace shunt::dataplane
