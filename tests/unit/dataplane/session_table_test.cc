// SessionTable against a model made of standard containers.
#include "dataplane/session_table.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <unordered_map>

#include "../eal_environment.h"

namespace shunt::dataplane {
namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kYear = 365 * 86400 * kSecond;

/// A tuple that is a function of `id`; only few bytes differ between two of them.
template <class F>
net::Tuple<F> tuple_of(uint32_t id) {
  net::Tuple<F> tuple{};
  tuple.source.bytes[0] = 10;
  tuple.destination.bytes[0] = 192;
  tuple.source.bytes.back() = static_cast<uint8_t>(id >> 16);
  tuple.source_port = be16(static_cast<uint16_t>(id));
  tuple.destination_port = be16(80);
  tuple.protocol = 6;
  return tuple;
}

template <class F>
Session<F> session_of(uint32_t request, Nanoseconds deadline) {
  Session<F> session{};
  session.request = tuple_of<F>(request);
  session.deadline = deadline;
  return session;
}

template <class F>
Session<F> session_of(uint32_t request, uint32_t reply, Nanoseconds deadline) {
  Session<F> session = session_of<F>(request, deadline);
  session.reply = ends_of<F>(tuple_of<F>(reply));
  session.flags = Session<F>::kHasReply;
  return session;
}

template <class F>
std::unique_ptr<SessionTable<F>> table_of(uint32_t capacity) {
  auto table = SessionTable<F>::create("test", capacity, {}, -1);
  if (!table) ADD_FAILURE() << table.error().message;
  return table ? std::move(*table) : nullptr;
}

template <class F>
uint32_t insert_one(SessionTable<F>& table, const Session<F>& session) {
  uint32_t number;
  table.insert(&session, 1, &number);
  return number;
}

/// Everything that is due at `now`; erases it.
template <class F>
std::vector<uint32_t> drain(SessionTable<F>& table, Nanoseconds now, unsigned most = 64) {
  std::vector<uint32_t> all, out(most);
  do {
    unsigned n = table.expire(now, out.data(), most);
    EXPECT_LE(n, most);
    table.erase(out.data(), n);
    all.insert(all.end(), out.begin(), out.begin() + n);
  } while (table.behind());
  return all;
}

template <class F>
class SessionTableTest : public testing::Test {};
using Families = testing::Types<net::V4, net::V6>;
TYPED_TEST_SUITE(SessionTableTest, Families);

TYPED_TEST(SessionTableTest, FindsBothTuples) {
  auto table = table_of<TypeParam>(4);
  uint32_t number = insert_one(*table, session_of<TypeParam>(1, 2, kSecond));
  ASSERT_NE(number, kNoSession);
  EXPECT_EQ(table->lookup(tuple_of<TypeParam>(1)).session, number);
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(1)).is_reply);
  EXPECT_EQ(table->lookup(tuple_of<TypeParam>(2)).session, number);
  EXPECT_TRUE(table->lookup(tuple_of<TypeParam>(2)).is_reply);
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(3)));
  table->erase(&number, 1);
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(1)));
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(2)));
  EXPECT_EQ(table->size(), 0u);
}

TYPED_TEST(SessionTableTest, RefusesDuplicatesWhole) {
  auto table = table_of<TypeParam>(8);
  ASSERT_NE(insert_one(*table, session_of<TypeParam>(1, 2, 0)), kNoSession);
  EXPECT_EQ(insert_one(*table, session_of<TypeParam>(1, 0)), kNoSession);
  EXPECT_EQ(insert_one(*table, session_of<TypeParam>(2, 0)), kNoSession);
  EXPECT_EQ(insert_one(*table, session_of<TypeParam>(3, 1, 0)), kNoSession);
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(3)));
  EXPECT_EQ(insert_one(*table, session_of<TypeParam>(4, 4, 0)), kNoSession);
  EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(4)));
  EXPECT_EQ(table->size(), 1u);
  // Within one burst, too.
  Session<TypeParam> burst[] = {session_of<TypeParam>(5, 0), session_of<TypeParam>(6, 0),
                                session_of<TypeParam>(5, 0)};
  uint32_t numbers[3];
  EXPECT_EQ(table->insert(burst, 3, numbers), 2u);
  EXPECT_NE(numbers[0], kNoSession);
  EXPECT_NE(numbers[1], kNoSession);
  EXPECT_EQ(numbers[2], kNoSession);
}

TYPED_TEST(SessionTableTest, AnswersAreTheNewestSessionsThatHasTheirTuple) {
  auto table = table_of<TypeParam>(8);
  const auto answered = [&] {
    Hit hit = table->lookup(tuple_of<TypeParam>(9));
    EXPECT_TRUE(!hit || hit.is_reply);
    return hit.session;
  };
  const auto again = [&](uint32_t request) {
    return insert_one(*table, session_of<TypeParam>(request, 9, kSecond));
  };
  uint32_t first = again(1), second = again(2), third = again(3);
  EXPECT_EQ(answered(), third);
  for (uint32_t request : {1u, 2u, 3u}) EXPECT_TRUE(table->lookup(tuple_of<TypeParam>(request)));
  table->erase(&second, 1);
  EXPECT_EQ(answered(), third);
  uint32_t fourth = again(2);
  EXPECT_EQ(answered(), fourth);
  table->erase(&fourth, 1);
  EXPECT_EQ(answered(), third);
  table->erase(&first, 1);
  EXPECT_EQ(answered(), third);
  table->erase(&third, 1);
  EXPECT_EQ(answered(), kNoSession);
  EXPECT_EQ(table->size(), 0u);
}

TYPED_TEST(SessionTableTest, HoldsAllItWasMadeForAndNoMore) {
  for (uint32_t capacity : {1u, 3u, 64u, 1000u}) {
    auto table = table_of<TypeParam>(capacity);
    for (int round = 0; round < 3; round++) {
      std::vector<uint32_t> numbers;
      for (uint32_t i = 0; i < capacity; i++) {
        numbers.push_back(insert_one(*table, session_of<TypeParam>(i * 2, i * 2 + 1, 0)));
        ASSERT_LT(numbers.back(), capacity) << i;
      }
      EXPECT_EQ(insert_one(*table, session_of<TypeParam>(9999, 0)), kNoSession);
      EXPECT_FALSE(table->lookup(tuple_of<TypeParam>(9999)));
      EXPECT_EQ(std::set<uint32_t>(numbers.begin(), numbers.end()).size(), capacity);
      table->erase(numbers.data(), capacity);
      table->erase(numbers.data(), capacity);  // a number that is free stays free
      EXPECT_EQ(table->size(), 0u);
    }
  }
}

TYPED_TEST(SessionTableTest, RecyclesTheNumberThatRestedLongest) {
  auto table = table_of<TypeParam>(3);
  uint32_t first = insert_one(*table, session_of<TypeParam>(1, 0));
  table->erase(&first, 1);
  EXPECT_NE(insert_one(*table, session_of<TypeParam>(2, 0)), first);
  EXPECT_NE(insert_one(*table, session_of<TypeParam>(3, 0)), first);
  EXPECT_EQ(insert_one(*table, session_of<TypeParam>(4, 0)), first);
}

TYPED_TEST(SessionTableTest, CreateRefusesInASentence) {
  auto none = SessionTable<TypeParam>::create("worker 0", 0, {}, -1);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("worker 0"), std::string::npos);
  auto large = SessionTable<TypeParam>::create("worker 1", 100'000'000, {}, -1);
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().message.find("MiB"), std::string::npos) << large.error().message;
  EXPECT_TRUE(SessionTable<TypeParam>::create("worker 1", 100, {}, -1));
}

// Where prefetches work (prefetch.h).
TYPED_TEST(SessionTableTest, FirstOfTwoLinesIsAtAnOddPlace) {
  auto table = table_of<TypeParam>(7);
  for (uint32_t i = 0; i < 7; i++) {
    const auto line = reinterpret_cast<uintptr_t>(&table->at(i)) / 64;
    EXPECT_TRUE(sizeof(Session<TypeParam>) == 64 || line % 2 == 1) << i;
  }
}

TYPED_TEST(SessionTableTest, ExpiresNotEarlyAndAtMostASlotLate) {
  constexpr auto kSlot = TimingWheel<Session<TypeParam>>::kSlotWidth;
  auto table = table_of<TypeParam>(8);
  Nanoseconds start = 40 * kYear;
  drain(*table, start);
  for (Nanoseconds life : {kSecond, 900 * kSecond, 5000 * kSecond, 1 * kSecond + 1}) {
    uint32_t number = insert_one(*table, session_of<TypeParam>(7, start + life));
    EXPECT_TRUE(drain(*table, start + life - 1).empty()) << life;
    EXPECT_EQ(drain(*table, start + life + kSlot), std::vector<uint32_t>{number}) << life;
    start += life + kSlot;
  }
  // A deadline on a slot's edge, as whole seconds are, is kept exactly.
  insert_one(*table, session_of<TypeParam>(8, 41 * kYear));
  EXPECT_EQ(drain(*table, 41 * kYear - 1).size(), 0u);
  EXPECT_EQ(drain(*table, 41 * kYear).size(), 1u);
}

TYPED_TEST(SessionTableTest, ReportsAgainWhatWasNotErased) {
  auto table = table_of<TypeParam>(8);
  insert_one(*table, session_of<TypeParam>(1, kSecond));
  uint32_t out[4];
  EXPECT_EQ(table->expire(2 * kSecond, out, 4), 1u);
  EXPECT_EQ(table->expire(2 * kSecond, out, 4), 0u);
  EXPECT_EQ(table->expire(3 * kSecond, out, 4), 1u);
}

TYPED_TEST(SessionTableTest, TimeGoingBackwardsExpiresNothing) {
  auto table = table_of<TypeParam>(8);
  drain(*table, 1000 * kSecond);
  insert_one(*table, session_of<TypeParam>(1, 10 * kSecond));
  EXPECT_TRUE(drain(*table, 5 * kSecond).empty());
  EXPECT_EQ(drain(*table, 1001 * kSecond).size(), 1u);
}

TYPED_TEST(SessionTableTest, WorksOffManyInBoundedSteps) {
  constexpr uint32_t kMany = 3000;
  auto table = table_of<TypeParam>(kMany);
  for (uint32_t i = 0; i < kMany; i++)
    insert_one(*table, session_of<TypeParam>(i, i % 3 ? kSecond : 50 * kYear));
  std::vector<uint32_t> out(kMany);
  unsigned calls = 0, found = 0;
  Nanoseconds now = 10 * kYear;
  do {
    unsigned n = table->expire(now, out.data(), kMany);
    EXPECT_LE(n, SessionTable<TypeParam>::kTimersPerCall);
    table->erase(out.data(), n);
    found += n, calls++;
    now += 600 * kSecond;  // further jumps while behind make nobody starve
    ASSERT_LT(calls, 100u);
  } while (found < kMany / 3 * 2);
  EXPECT_EQ(found, kMany / 3 * 2);
  EXPECT_EQ(table->size(), kMany / 3);
}

TYPED_TEST(SessionTableTest, DumpReportsThoseThatLiveThroughItExactlyOnce) {
  auto table = table_of<TypeParam>(500);
  std::map<uint32_t, int> seen;
  std::set<uint32_t> stay;
  std::vector<uint32_t> go;
  for (uint32_t i = 0; i < 300; i++) {
    uint32_t number = insert_one(*table, session_of<TypeParam>(i, 0));
    if (i % 2) stay.insert(number);
    if (i % 2 == 0) go.push_back(number);
  }
  uint32_t cursor = 0, out[7], next_id = 1000;
  for (unsigned n; (n = table->dump(cursor, out, 7)) != 0;) {
    for (unsigned i = 0; i < n; i++) seen[out[i]]++;
    for (int i = 0; i < 3 && !go.empty(); i++) {  // others come and go
      std::swap(go[next_id % go.size()], go.back());
      table->erase(&go.back(), 1);
      go.pop_back();
      insert_one(*table, session_of<TypeParam>(next_id++, 0));
    }
  }
  for (uint32_t number : stay) EXPECT_EQ(seen[number], 1) << number;
  EXPECT_EQ(table->dump(cursor, out, 7), 0u);
}

/// The table's promises, kept in the simplest way.
template <class F>
class Model {
 public:
  Model(uint32_t capacity, uint32_t seed) : x_table(table_of<F>(capacity)), x_random(seed) {}

  void run(int operations) {
    for (int i = 0; i < operations && !testing::Test::HasFailure(); i++) {
      switch (roll(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
          insert();
          break;
        case 4:
        case 5:
        case 6:
          lookup();
          break;
        case 7:
          erase();
          break;
        case 8:
        case 9:
          move_deadlines();
          break;
        case 10:
          pass_time();
          break;
        default:
          if (roll(50) == 0) dump();
          if (roll(5000) == 0) fill();
          EXPECT_EQ(x_table->size(), x_live.size());
      }
    }
    fill();
    x_now += 2000 * kSecond;
    expire(true);
    EXPECT_EQ(x_table->size(), x_live.size());
    std::printf("expired %zu, refused as full %zu, as duplicate %zu\n", x_expired, x_full,
                x_duplicates);
    EXPECT_GT(x_expired, 0u);
    EXPECT_GT(x_full, 0u);
    EXPECT_GT(x_duplicates, 0u);
    EXPECT_GT(x_behind, 0u);
  }

 private:
  struct Known {
    uint32_t request, reply;  // ids; reply 0: none
    Nanoseconds deadline, filed;
  };
  static constexpr uint32_t kIds = 6000;  ///< several sessions have one reply

  uint32_t roll(uint32_t below) { return static_cast<uint32_t>(x_random() % below); }

  Nanoseconds some_deadline() {
    static constexpr Nanoseconds kLives[] = {
        0, kSecond / 3, 2 * kSecond, 60 * kSecond, 900 * kSecond, 7200 * kSecond};
    return x_now + kLives[roll(6)] + roll(1000) * (kSecond / 1000);
  }

  void insert() {
    unsigned n = 1 + roll(4);
    Session<F> burst[4];
    Known wanted[4];
    uint32_t numbers[4];
    for (unsigned i = 0; i < n; i++) {
      wanted[i] = {1 + roll(kIds), roll(3) ? 1 + roll(kIds) : 0, some_deadline(), x_now};
      burst[i] = wanted[i].reply
                     ? session_of<F>(wanted[i].request, wanted[i].reply, wanted[i].deadline)
                     : session_of<F>(wanted[i].request, wanted[i].deadline);
      burst[i].server_id = wanted[i].request;
    }
    unsigned inserted = x_table->insert(burst, n, numbers);
    for (unsigned i = 0; i < n; i++) {
      const Known& w = wanted[i];
      bool full = x_live.size() == x_table->capacity();
      bool taken = w.reply && x_ids.contains(w.reply);
      bool behind = taken && x_ids[w.reply].back().second;
      bool duplicate = x_ids.contains(w.request) || (taken && !behind) || w.request == w.reply;
      x_full += full, x_duplicates += duplicate, x_behind += behind;
      ASSERT_EQ(numbers[i] == kNoSession, full || duplicate);
      if (numbers[i] == kNoSession) continue;
      inserted--;
      ASSERT_TRUE(x_live.emplace(numbers[i], w).second);
      x_ids[w.request].push_back({numbers[i], false});
      if (w.reply) x_ids[w.reply].push_back({numbers[i], true});
    }
    EXPECT_EQ(inserted, 0u);
  }

  void fill() {
    for (int i = 0; i < 100000 && x_live.size() < x_table->capacity(); i++) insert();
    insert();
    insert();
  }

  void lookup() {
    net::Tuple<F> tuples[SessionTable<F>::kBurst];
    const net::Tuple<F>* keys[SessionTable<F>::kBurst];
    uint32_t ids[SessionTable<F>::kBurst];
    Hit hits[SessionTable<F>::kBurst];
    unsigned n = roll(8) == 0 ? SessionTable<F>::kBurst : roll(4);
    for (unsigned i = 0; i < n; i++) {
      ids[i] = 1 + roll(kIds + 50);
      tuples[i] = tuple_of<F>(ids[i]);
      keys[i] = &tuples[i];
    }
    x_table->lookup(keys, n, hits);
    for (unsigned i = 0; i < n; i++) {
      auto known = x_ids.find(ids[i]);
      Hit one = x_table->lookup(tuples[i]);
      ASSERT_EQ(bool(hits[i]), known != x_ids.end());
      ASSERT_EQ(one.session, hits[i].session);
      ASSERT_EQ(one.is_reply, hits[i].is_reply);
      if (!hits[i]) continue;
      ASSERT_EQ(hits[i].session, known->second.back().first);
      ASSERT_EQ(hits[i].is_reply, known->second.back().second);
      ASSERT_EQ(x_table->at(hits[i].session).server_id, x_live.at(hits[i].session).request);
    }
  }

  typename std::map<uint32_t, Known>::iterator any() {
    auto it = x_live.lower_bound(roll(x_table->capacity()));
    return it == x_live.end() ? x_live.begin() : it;
  }

  void forget(uint32_t number) {
    auto it = x_live.find(number);
    ASSERT_NE(it, x_live.end());
    x_ids.erase(it->second.request);
    if (auto reply = x_ids.find(it->second.reply); reply != x_ids.end()) {
      std::erase(reply->second, std::pair(number, true));
      if (reply->second.empty()) x_ids.erase(reply);
    }
    x_live.erase(it);
  }

  void erase() {
    std::set<uint32_t> chosen;
    for (unsigned n = 1 + roll(3); n > 0 && !x_live.empty(); n--) chosen.insert(any()->first);
    std::vector<uint32_t> numbers(chosen.begin(), chosen.end());
    x_table->erase(numbers.data(), static_cast<unsigned>(numbers.size()));
    for (uint32_t number : numbers) forget(number);
  }

  void move_deadlines() {
    for (int i = 0; i < 5 && !x_live.empty(); i++) {
      auto it = any();
      Nanoseconds deadline = some_deadline();
      bool earlier = deadline < it->second.deadline;
      x_table->at(it->first).deadline = deadline;
      it->second.deadline = deadline;
      if (!earlier) continue;
      x_table->hasten(it->first);
      it->second.filed = x_now;
    }
  }

  void pass_time() {
    uint32_t kind = roll(1000);
    if (kind == 0)
      x_now += kYear + roll(1000) * kSecond;
    else if (kind < 4)
      x_now += 700 * kSecond;
    else if (kind < 100)
      x_now += roll(10) * kSecond;
    else
      x_now += roll(200) * (kSecond / 1000);
    expire(roll(4) == 0);
  }

  void expire(bool all) {
    uint32_t out[40];
    do {
      unsigned most = 1 + roll(40);
      unsigned n = x_table->expire(x_now, out, most);
      ASSERT_LE(n, most);
      for (unsigned i = 0; i < n; i++) {
        ASSERT_TRUE(x_live.contains(out[i]));
        ASSERT_LE(x_live.at(out[i]).deadline, x_now);
        ASSERT_LE(x_table->at(out[i]).deadline, x_now);
        forget(out[i]);
      }
      x_table->erase(out, n);
      x_expired += n;
    } while (all && x_table->behind());
    if (x_table->behind() || roll(8) != 0) return;
    constexpr auto kSlot = TimingWheel<Session<F>>::kSlotWidth;
    for (const auto& [number, known] : x_live)
      ASSERT_GT(std::max(known.deadline, known.filed) + kSlot, x_now) << number;
  }

  void dump() {
    uint32_t cursor = 0, out[33];
    std::vector<uint32_t> all;
    for (unsigned n; (n = x_table->dump(cursor, out, 33)) != 0;)
      all.insert(all.end(), out, out + n);
    std::vector<uint32_t> expected;
    for (const auto& [number, known] : x_live) expected.push_back(number);
    ASSERT_EQ(all, expected);
  }

  std::unique_ptr<SessionTable<F>> x_table;
  std::mt19937 x_random;
  Nanoseconds x_now = 1000 * kYear / 20;
  std::map<uint32_t, Known> x_live;
  /// Who has it: one as its request, or several, the newest last, as their replies.
  std::unordered_map<uint32_t, std::vector<std::pair<uint32_t, bool>>> x_ids;
  size_t x_expired = 0, x_full = 0, x_duplicates = 0, x_behind = 0;
};

#if defined(__SANITIZE_ADDRESS__)
constexpr int kOperations = 100'000;
#else
constexpr int kOperations = 1'000'000;
#endif

TYPED_TEST(SessionTableTest, AgreesWithAModel) {
  const char* given = std::getenv("SHUNT_TEST_SEED");
  uint32_t seed = given ? static_cast<uint32_t>(std::atol(given)) : 20240607;
  std::printf("SHUNT_TEST_SEED=%u\n", seed);
  Model<TypeParam>(1000, seed).run(kOperations);
}

}  // namespace
}  // namespace shunt::dataplane
