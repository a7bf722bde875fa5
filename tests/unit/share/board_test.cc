// The board for as many workers as there may be, and for no more.
#include "share/board.h"

#include "../eal_environment.h"

namespace shunt::share {
namespace {

Result<std::unique_ptr<Board>> board(unsigned workers) {
  Board::Size size;
  size.workers = workers;
  size.next_hops = 64;
  size.stray_slots = 2;
  size.socket = SOCKET_ID_ANY;
  return Board::create("board_test", size);
}

TEST(Board, HasADeskForEachOfAsManyWorkersAsThereMayBe) {
  for (unsigned workers : {1u, kMaxWorkers - 1, kMaxWorkers}) {
    auto made = board(workers);
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_EQ((*made)->desks.size(), workers);
    const unsigned last = workers - 1;
    EXPECT_EQ((*made)->desks[last]->strays.size(), workers);
    // The sum has the last one's load, too.
    (*made)->desks[last]->counters.loads[3].active.add(2);
    EXPECT_EQ((*made)->loads.of(3).active, 2u);
  }
}

TEST(Board, RefusesMore) {
  for (unsigned workers : {0u, kMaxWorkers + 1}) {
    auto made = board(workers);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().message, std::to_string(workers) + " workers: there may be 1 to 127");
  }
}

TEST(Loads, TakeNoMoreWorkersThanTheyHaveRoomFor) {
  const ipvs::ServerLoad rows[1]{};
  ipvs::Loads loads(nullptr);
  for (unsigned w = 0; w < ipvs::Loads::kMostWorkers; w++) EXPECT_TRUE(loads.add_worker(rows));
  EXPECT_FALSE(loads.add_worker(rows));
}

}  // namespace
}  // namespace shunt::share
