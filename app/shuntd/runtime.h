// What the executor asks of the running workers: counters, sessions, new tables.
#pragma once

#include "control/executor.h"
#include "engine.h"

namespace shunt::daemon {

class Workers {
 public:
  Workers(Engine& engine, ipvs::Configuration& configuration)
      : x_engine(engine), x_configuration(configuration) {}

  /// Bound to this object, which must outlive the executor.
  control::Runtime runtime();

  /// Publishes what could not be published before, and recycles the ids of servers that are gone
  /// and idle. Every few milliseconds.
  void tick();

 private:
  std::vector<ipvs::SessionRecord> sessions(uint64_t& cursor, size_t most);
  void publish();
  void recycle();

  Engine& x_engine;
  ipvs::Configuration& x_configuration;
  bool x_waiting = false;      ///< a change is not published yet
  uint64_t x_edits = 0;        ///< changes published
  uint64_t x_recycled_at = 0;  ///< the edits that the last recycling knew
  uint64_t x_mark = 0;         ///< of the grace period that recycling waits for
};

}  // namespace shunt::daemon
