// Lines in the log when something runs out, and when it is over.
#include "control/alarms.h"

#include <gtest/gtest.h>

#include "../eal_environment.h"

namespace shunt::control {
namespace {

class AlarmsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    share::Board::Size size;
    size.workers = 2;
    size.socket = SOCKET_ID_ANY;
    auto made = share::Board::create("alarms", size);
    ASSERT_TRUE(made) << made.error().message;
    board = std::move(*made);
    alarms = std::make_unique<Alarms>(
        *board, [this](const std::string& line) { begun.push_back(line); },
        [this](const std::string& line) { over.push_back(line); });
  }
  std::unique_ptr<share::Board> board;
  std::unique_ptr<Alarms> alarms;
  std::vector<std::string> begun, over;
};

TEST_F(AlarmsTest, OneLineWhenItBeginsAndOneWhenItIsOver) {
  auto& dropped = board->desks[1]->counters.dropped;
  alarms->look();
  EXPECT_TRUE(begun.empty());
  for (int i = 0; i < 5; i++) {
    dropped[static_cast<size_t>(ipvs::DropReason::kCallIdsFull)].add(3);
    alarms->look();
  }
  ASSERT_EQ(begun.size(), 1u);
  EXPECT_TRUE(begun[0].starts_with("call_ids_full begins: ")) << begun[0];
  for (uint64_t i = 0; i < Alarms::kQuiet; i++) alarms->look();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0], "call_ids_full is over: it counted 15");
}

TEST_F(AlarmsTest, WhatIsNoDropIsToldToo) {
  board->desks[0]->counters.unhelped.add(1);
  board->desks[1]->counters.classes_refused.add(1);
  alarms->look();
  ASSERT_EQ(begun.size(), 2u);
  EXPECT_TRUE(begun[0].starts_with("unhelped begins: "));
  EXPECT_TRUE(begun[1].starts_with("classes_refused begins: "));
}

}  // namespace
}  // namespace shunt::control
