// Next hops of an outsider's are rationed; those of others, and configured ones, are not short of
// anything for it.
#include "control/neighbours.h"

#include <set>

#include "../eal_environment.h"
#include "control/alarms.h"

namespace shunt::control {
namespace {

using share::Exhaustion;
using share::NextHop;

constexpr uint64_t kMillisecond = 1000, kSecond = 1'000'000;
constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

Address v6(uint32_t network, uint32_t host) {
  Ipv6 address{{0x20, 0x01, 0x0d, 0xb8, uint8_t(network >> 24), uint8_t(network >> 16),
                uint8_t(network >> 8), uint8_t(network)}};
  for (unsigned i = 0; i < 4; i++) address.bytes[12 + i] = uint8_t(host >> (24 - 8 * i));
  return address;
}

class NeighboursTest : public testing::Test {
 protected:
  explicit NeighboursTest(uint32_t rows = 4096, Neighbours::Limits limits = {}) {
    static int boards = 0;
    share::Board::Size size;
    size.next_hops = rows;
    size.socket = -1;
    board = std::move(*share::Board::create("nb" + std::to_string(boards++), size));
    neighbours.emplace(*board,
                       Neighbours::Kernel{[this](uint8_t port, const Address& address, bool keep) {
                                            asked.push_back({port, address, keep});
                                          },
                                          [this](uint8_t, const Address& address) {
                                            auto found = known.find(address);
                                            return found == known.end()
                                                       ? std::nullopt
                                                       : std::optional<MacAddress>(found->second);
                                          }},
                       limits);
  }

  void want(const Address& address, bool configured) {
    ASSERT_TRUE(board->desks[0]->hops_wanted->send({address, 0, configured, 0}));
  }
  /// A packet's worth: the worker wants it, and control looks.
  void want_now(const Address& address, bool configured) {
    want(address, configured);
    tick();
  }
  void tick(uint64_t later = kMillisecond) { neighbours->tick(now += later); }
  void answers(const Address& address) {
    known[address] = kMac;
    neighbours->heard(0, address, NextHop::kReachable, kMac);
  }
  bool has_row(const Address& address) {
    return board->next_hops->find(0, address) != share::kNoNextHop;
  }
  void use(const Address& address) { board->next_hops->touch(board->next_hops->find(0, address)); }
  uint64_t count(Exhaustion what) { return board->exhaustions[static_cast<size_t>(what)].get(); }

  struct Asked {
    uint8_t port;
    Address address;
    bool keep;
  };
  bool was_asked(const Address& address) const {
    return std::any_of(asked.begin(), asked.end(),
                       [&](const Asked& a) { return a.address == address; });
  }

  std::unique_ptr<share::Board> board;
  std::optional<Neighbours> neighbours;
  std::map<Address, MacAddress> known;
  std::vector<Asked> asked;
  uint64_t now = 1000 * kSecond;
};

TEST_F(NeighboursTest, OnlyWhatAnswersHasARow) {
  want_now(v6(1, 1), false);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_FALSE(has_row(v6(1, 1)));
  want_now(v6(1, 1), false);
  EXPECT_EQ(asked.size(), 1u) << "it is asked already";
  answers(v6(1, 1));
  EXPECT_TRUE(has_row(v6(1, 1)));
  neighbours->heard(0, v6(1, 1), NextHop::kFailed, {});
  EXPECT_FALSE(has_row(v6(1, 1)));
  EXPECT_EQ(board->next_hops->size(), 0u);
}

TEST_F(NeighboursTest, WhatTheKernelKnowsNeedsNoQuestion) {
  known[v6(1, 1)] = kMac;
  want_now(v6(1, 1), false);
  EXPECT_TRUE(has_row(v6(1, 1)));
}

TEST_F(NeighboursTest, AFloodOfOneNetworkLeavesQuestionsForAnother) {
  uint64_t wanted = 0;
  for (unsigned ms = 0; ms < 5000; ms++) {
    for (unsigned i = 0; i < 16; i++) want(v6(1, static_cast<uint32_t>(++wanted)), false);
    tick();
  }
  const size_t of_flood = asked.size();
  EXPECT_LT(of_flood, 5 * 64 + 64 + 64 * 1u) << "half of the rate and of the burst";
  EXPECT_GT(of_flood, 300u);
  EXPECT_GT(count(Exhaustion::kNeighbourQuestions), 70'000u);
  // While it goes on: a client of another network, a server, a gateway.
  want_now(v6(2, 1), false);
  want_now(v6(1, 0xfffffff0), true);
  want_now(*parse_address("10.0.0.1"), true);
  EXPECT_TRUE(was_asked(v6(2, 1)));
  EXPECT_TRUE(was_asked(v6(1, 0xfffffff0)));
  EXPECT_TRUE(was_asked(*parse_address("10.0.0.1")));
  EXPECT_TRUE(asked.back().keep);
  // And when it is over, the network's own clients.
  tick(2 * kSecond);
  want_now(v6(1, 0xabc), false);
  EXPECT_TRUE(was_asked(v6(1, 0xabc)));
}

TEST_F(NeighboursTest, QuestionsEndByThemselves) {
  want_now(v6(1, 1), true);
  EXPECT_EQ(asked.size(), 1u);
  tick(5 * kSecond);
  want_now(v6(1, 1), true);
  EXPECT_EQ(asked.size(), 2u);
}

TEST_F(NeighboursTest, AHostThatAnswersForItsWholeNetworkLeavesRowsForOthers) {
  for (uint32_t i = 0; i < 100'000; i++) {
    answers(v6(1, i));
    if (has_row(v6(1, i))) use(v6(1, i));
    if (i % 100 == 0) tick();
  }
  EXPECT_LT(board->next_hops->size(), board->next_hops->capacity() / 4);
  EXPECT_GT(count(Exhaustion::kNextHops), 90'000u) << "those that it has are in use";
  answers(v6(2, 1));
  EXPECT_TRUE(has_row(v6(2, 1)));
  for (uint32_t i = 0; i < 3000; i++) {
    want_now(v6(3, i), true);
    answers(v6(3, i));
    ASSERT_TRUE(has_row(v6(3, i))) << "configured next hops have all that clients may not have";
  }
}

TEST_F(NeighboursTest, RowsThatAreIdleGiveWay) {
  for (uint32_t i = 0; i < 100'000; i++) {
    answers(v6(1, i));
    if (i % 100 == 0) tick();
  }
  EXPECT_EQ(count(Exhaustion::kNextHops), 0u);
  EXPECT_TRUE(has_row(v6(1, 99'999)));
  EXPECT_FALSE(has_row(v6(1, 0)));
}

TEST_F(NeighboursTest, ManyNetworksLeaveRoomForAnotherWhenSomeAreIdle) {
  for (uint32_t i = 0; i < 10'000; i++) {
    answers(v6(i, 1));
    if (i % 100 == 0) tick();
  }
  EXPECT_LE(board->next_hops->size(), board->next_hops->capacity() / 4);
  EXPECT_TRUE(has_row(v6(9'999, 1)));
}

TEST_F(NeighboursTest, AnEntryThatTheKernelCollectedIsAskedAgainAndStaysInUse) {
  want_now(v6(1, 1), false);
  answers(v6(1, 1));
  use(v6(1, 1));
  asked.clear();
  known.clear();
  neighbours->heard(0, v6(1, 1), NextHop::kUnresolved, {});
  EXPECT_TRUE(has_row(v6(1, 1)));
  EXPECT_TRUE(was_asked(v6(1, 1)));
  neighbours->heard(0, v6(1, 1), NextHop::kFailed, {});
  EXPECT_FALSE(has_row(v6(1, 1)));
}

TEST_F(NeighboursTest, WhatIsInUseIsConfirmedAndWhatIsGoneIsForgotten) {
  for (uint32_t i = 0; i < 3; i++) answers(v6(1, i));
  known.erase(v6(1, 2));
  for (unsigned n = 0; n < 20; n++) {
    use(v6(1, 0));
    tick(kSecond);
  }
  EXPECT_TRUE(was_asked(v6(1, 0)));
  EXPECT_FALSE(was_asked(v6(1, 1)));
  EXPECT_TRUE(has_row(v6(1, 1))) << "the kernel knows it";
  EXPECT_FALSE(has_row(v6(1, 2)));
}

TEST_F(NeighboursTest, AConfiguredNextHopThatNobodyUsesIsTheKernelsAgain) {
  want_now(v6(1, 1), true);
  answers(v6(1, 1));
  asked.clear();
  for (unsigned n = 0; n < 20; n++) tick(kSecond);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_FALSE(asked[0].keep);
  EXPECT_TRUE(has_row(v6(1, 1)));
}

class FewRowsTest : public NeighboursTest {
 protected:
  FewRowsTest() : NeighboursTest(256) {}
};

TEST_F(FewRowsTest, RowsServeForEverWhileRoutesArePublishedNowAndThen) {
  uint32_t published = 0;
  for (uint32_t i = 0; i < 200'000; i++) {
    neighbours->heard(0, v6(i, 1), NextHop::kReachable, kMac);
    ASSERT_TRUE(has_row(v6(i, 1))) << i;
    neighbours->heard(0, v6(i, 1), NextHop::kFailed, {});
    if (i % 16 == 0) neighbours->tick(now += kMillisecond);
    if (neighbours->wants_routes_published()) {
      neighbours->routes_published();
      published++;
    }
  }
  EXPECT_GT(published, 0u);
}

TEST_F(NeighboursTest, AlarmsSayWhenItBeginsAndWhenItIsOver) {
  std::vector<std::string> lines;
  auto write = [&](const std::string& line) { lines.push_back(line); };
  Alarms alarms(*board, write, write);
  alarms.look();
  EXPECT_TRUE(lines.empty());
  for (unsigned look = 0; look < 30; look++) {
    for (uint32_t i = 0; look < 5 && i < 200; i++) want_now(v6(1, look << 16 | i), false);
    alarms.look();
  }
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].rfind("neighbour_questions begins: ", 0), 0u) << lines[0];
  EXPECT_EQ(lines[1], "neighbour_questions is over: it counted " +
                          std::to_string(count(Exhaustion::kNeighbourQuestions)));
}

}  // namespace
}  // namespace shunt::control
