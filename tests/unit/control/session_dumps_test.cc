// A listing of sessions waits for no worker, asleep or stuck.
#include "control/session_dumps.h"

#include <unistd.h>

#include <optional>

#include "../eal_environment.h"

namespace shunt::control {
namespace {

class SessionDumpsTest : public testing::Test {
 protected:
  SessionDumpsTest() {
    static int boards = 0;
    share::Board::Size size;
    size.workers = 2;
    size.socket = -1;
    board = std::move(*share::Board::create("sd" + std::to_string(boards++), size));
    dumps.emplace(*board, [this](const std::string& line) { lines.push_back(line); });
  }

  /// What a worker does: fills what it was asked for with sessions to this port.
  bool answer(unsigned worker, uint16_t port, uint32_t count = 1) {
    share::WorkerDesk& desk = *board->desks[worker];
    share::Order order;
    if (desk.orders->receive(&order, 1) == 0) return false;
    for (uint32_t i = 0; i < count; i++) order.dump->records[i].client.port = port;
    order.dump->count = count;
    order.dump->done = true;
    return desk.reports->send(order.dump);
  }
  std::string read(SessionReader& reader, uint64_t& cursor) {
    std::vector<ipvs::SessionRecord> page;
    if (!reader.read(cursor, 8, page)) return "wait";
    std::string text;
    for (const auto& session : page) text += std::to_string(session.client.port) + " ";
    return text;
  }

  std::unique_ptr<share::Board> board;
  std::vector<std::string> lines;
  std::optional<SessionDumps> dumps;
};

TEST_F(SessionDumpsTest, AsksOneWorkerAfterTheOtherWithoutWaiting) {
  auto reader = dumps->begin();
  uint64_t cursor = 0;
  std::string all;
  for (unsigned worker : {0, 0, 1, 1}) {  // IPv4, then IPv6
    for (int turn = 0; turn < 3; turn++) EXPECT_EQ(read(*reader, cursor), "wait");
    EXPECT_TRUE(answer(worker, static_cast<uint16_t>(worker + 1), 2));
    EXPECT_FALSE(answer(worker, 9)) << "it is asked once";
    all += read(*reader, cursor);
  }
  EXPECT_EQ(all, "1 1 1 1 2 2 2 2 ");
  EXPECT_EQ(cursor, 0u);
  EXPECT_EQ(dumps->unanswered(), 0u);
}

TEST_F(SessionDumpsTest, ListingsOfSeveralClientsAreNotMixedUp) {
  auto one = dumps->begin(), another = dumps->begin();
  uint64_t at = 0, other_at = 0;
  EXPECT_EQ(read(*one, at), "wait");
  EXPECT_EQ(read(*another, other_at), "wait");
  EXPECT_TRUE(answer(0, 1));
  EXPECT_EQ(read(*another, other_at), "wait") << "that was the first one's";
  EXPECT_TRUE(answer(0, 2));
  EXPECT_EQ(read(*another, other_at), "2 ");
  EXPECT_EQ(read(*one, at), "1 ");
}

TEST_F(SessionDumpsTest, WhatNobodyWaitsForAnyMoreIsFreedWhenItIsBack) {
  auto reader = dumps->begin();
  uint64_t cursor = 0;
  EXPECT_EQ(read(*reader, cursor), "wait");
  reader.reset();
  EXPECT_EQ(dumps->unanswered(), 1u) << "the worker may write it";
  EXPECT_TRUE(answer(0, 1));
  reader = dumps->begin();
  EXPECT_EQ(read(*reader, cursor), "wait");
  EXPECT_EQ(dumps->unanswered(), 1u) << "its own";
  EXPECT_TRUE(answer(0, 2));
  EXPECT_EQ(read(*reader, cursor), "2 ");
}

TEST_F(SessionDumpsTest, AWorkerThatIsStuckIsLeftOut) {
  auto reader = dumps->begin();
  uint64_t cursor = 0;
  const auto began = std::chrono::steady_clock::now();
  while (read(*reader, cursor) == "wait") usleep(10'000);
  EXPECT_GE(std::chrono::steady_clock::now() - began, SessionDumps::kPatience);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], "worker 0 does not answer: its sessions are missing from the listing");
  EXPECT_EQ(read(*reader, cursor), "wait");
  EXPECT_TRUE(answer(1, 7));
  EXPECT_EQ(read(*reader, cursor), "7 ");
}

TEST_F(SessionDumpsTest, MoreListingsThanAWorkerTakesOrdersWaitForTheirs) {
  std::vector<std::unique_ptr<SessionReader>> readers;
  std::vector<uint64_t> cursors(200, 0);
  for (uint64_t& cursor : cursors) {
    readers.push_back(dumps->begin());
    EXPECT_EQ(read(*readers.back(), cursor), "wait");
  }
  EXPECT_LE(dumps->unanswered(), 64u) << "the mailbox's room";
  size_t done = 0;
  for (int turn = 0; turn < 10; turn++) {
    while (answer(0, 3)) {
    }
    for (size_t i = 0; i < readers.size(); i++)
      if (cursors[i] == 0 && read(*readers[i], cursors[i]) == "3 ") done++;
  }
  EXPECT_EQ(done, 200u);
  EXPECT_TRUE(lines.empty());
}

}  // namespace
}  // namespace shunt::control
