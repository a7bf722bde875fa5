#include "worker_thread.h"

#include <rte_pause.h>
#include <sched.h>
#include <time.h>

#include <algorithm>

namespace shunt::daemon {

namespace {

constexpr uint64_t kSecond = 1'000'000'000;
/// Idle turns before a sleeping worker begins to sleep, and how long it sleeps at the most.
constexpr unsigned kIdleTurns = 64;
constexpr long kShortestSleep = 10'000, kLongestSleep = 500'000;  // nanoseconds

dataplane::Nanoseconds clock_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

int run_worker(void* argument) {
  auto& thread = *static_cast<WorkerThread*>(argument);
  dataplane::Worker& worker = *thread.worker;
  share::Quiescence& quiescence = worker.board.quiescence;
  unsigned number = worker.settings.number;
  unsigned idle = 0;
  long pause = kShortestSleep;

  quiescence.enter(number);
  while (!thread.stop->load(std::memory_order_relaxed)) {
    bool busy = worker.turn(clock_now());
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
        pause = std::min(pause * 2, kLongestSleep);
        break;
    }
  }
  quiescence.leave(number);
  return 0;
}

}  // namespace shunt::daemon
