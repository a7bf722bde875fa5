// The loop around a worker, on its own lcore: turn, say that nothing is held, rest as configured.
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/worker.h"

namespace shunt::daemon {

/// What a worker does when a turn found no packet.
enum class Idle : uint8_t {
  kSpin,   ///< looks again at once
  kYield,  ///< lets others run first
  kSleep,  ///< sleeps, the longer it was idle the longer, up to longest_sleep()
};

struct WorkerThread {
  dataplane::Worker* worker = nullptr;
  Idle idle = Idle::kSpin;
  std::atomic<bool>* stop = nullptr;
  long longest_sleep = 0;  ///< nanoseconds
};

/// Nanoseconds that a worker sleeps at the most: half a millisecond; longer where so many workers
/// are on a CPU that waking up would take it a good part of its time.
long longest_sleep(unsigned workers, unsigned cpus);

/// Runs until *stop; the argument is a WorkerThread. Returns 0 (lcore_function_t).
int run_worker(void* thread);

}  // namespace shunt::daemon
