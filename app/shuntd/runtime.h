// What the executor asks of the running workers: counters, sessions, new tables.
#pragma once

#include <spdlog/spdlog.h>

#include "control/executor.h"
#include "control/session_dumps.h"
#include "engine.h"

namespace shunt::daemon {

class Workers {
 public:
  Workers(Engine& engine, ipvs::Configuration& configuration)
      : x_engine(engine),
        x_configuration(configuration),
        x_dumps(engine.board(), [](const auto& line) { spdlog::warn(line); }) {}

  /// Bound to this object, which must outlive the executor.
  control::Runtime runtime();

  /// Publishes what could not be published before, and recycles the ids of servers that are gone
  /// and idle. Every few milliseconds.
  void tick();

 private:
  void publish();
  void recycle();

  Engine& x_engine;
  ipvs::Configuration& x_configuration;
  control::SessionDumps x_dumps;
  bool x_waiting = false;      ///< a change is not published yet
  uint64_t x_edits = 0;        ///< changes published
  uint64_t x_recycled_at = 0;  ///< the edits that the last recycling knew
  uint64_t x_mark = 0;         ///< of the grace period that recycling waits for
};

}  // namespace shunt::daemon
