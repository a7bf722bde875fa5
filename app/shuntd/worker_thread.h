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
  kSleep,  ///< sleeps, up to kLongestSleep the longer it was idle
};

struct WorkerThread {
  dataplane::Worker* worker = nullptr;
  Idle idle = Idle::kSpin;
  std::atomic<bool>* stop = nullptr;
};

/// Runs until *stop; the argument is a WorkerThread. Returns 0 (lcore_function_t).
int run_worker(void* thread);

}  // namespace shunt::daemon
