#include "worker_thread.h"

#include <rte_pause.h>
#include <sched.h>
#include <time.h>

#include <algorithm>

#include "dataplane/turn_clock.h"

namespace shunt::daemon {

namespace {

/// Idle turns before a sleeping worker begins to sleep, and how long it sleeps at the most.
constexpr unsigned kIdleTurns = 64;
constexpr long kShortestSleep = 10'000, kLongestSleep = 500'000;  // nanoseconds
/// Of a CPU's time for each of its workers, so that they wake it up 20,000 times a second at most.
constexpr long kBetweenWorkers = 50'000;

}  // namespace

long longest_sleep(unsigned workers, unsigned cpus) {
  const long on_cpu = (workers + cpus - 1) / cpus;
  return std::max(kLongestSleep, on_cpu * kBetweenWorkers);
}

int run_worker(void* argument) {
  auto& thread = *static_cast<WorkerThread*>(argument);
  dataplane::Worker& worker = *thread.worker;
  share::Quiescence& quiescence = worker.board.quiescence;
  unsigned number = worker.settings.number;
  dataplane::TurnClock clock;
  bool busy = false;
  unsigned idle = 0;
  long pause = kShortestSleep;

  quiescence.enter(number);
  while (!thread.stop->load(std::memory_order_relaxed)) {
    busy = worker.turn(clock(busy));
    quiescence.quiescent(number);
    if (busy) {
      idle = 0;
      pause = kShortestSleep;
      continue;
    }
    switch (thread.idle) {
      case Idle::kSpin:
        rte_pause();
        break;
      case Idle::kYield:
        sched_yield();
        break;
      case Idle::kSleep:
        if (++idle < kIdleTurns) {
          sched_yield();
          break;
        }
        quiescence.offline(number);
        timespec rest{0, pause};
        nanosleep(&rest, nullptr);
        quiescence.online(number);
        pause = std::min(pause * 2, thread.longest_sleep);
        break;
    }
  }
  quiescence.leave(number);
  return 0;
}

}  // namespace shunt::daemon
