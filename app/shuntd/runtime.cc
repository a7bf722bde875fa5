#include "runtime.h"

#include "control/board_facts.h"
#include "control/slice.h"
#include "share/publish.h"

namespace shunt::daemon {

control::Runtime Workers::runtime() {
  control::Runtime runtime;
  runtime.server = [this](uint32_t id) { return control::server_facts(x_engine.board(), id); };
  runtime.sessions = control::SessionSource([this] { return x_dumps.begin(); });
  runtime.publish = [this](auto, const ipvs::Timeouts&) { publish(); };
  return runtime;
}

void Workers::publish() {
  x_waiting = !share::publish(x_configuration, x_engine.board());
  if (x_waiting) return;
  x_edits++;
  x_mark = 0;  // a grace period that began before this change says nothing about it
}

void Workers::tick() {
  share::Quiescence& quiescence = x_engine.board().quiescence;
  quiescence.collect();
  if (x_configuration.is_open()) return;
  if (x_waiting) publish();
  if (x_waiting) return;
  if (x_recycled_at != x_edits) return recycle();
  // What recycling has changed, so that the next edit has little to do.
  for (control::Slice slice(control::kChoreTime); x_configuration.prepare_table();)
    if (!slice.spend()) break;
}

void Workers::recycle() {
  share::Quiescence& quiescence = x_engine.board().quiescence;
  // Ids are looked at once a grace period after the last change has passed: until then a worker
  // may still pick a removed server from an old table.
  if (x_mark == 0) {
    x_mark = quiescence.mark();
    x_configuration.begin_recycling();
    return;
  }
  if (!quiescence.passed(x_mark)) return;
  auto idle = [this](uint32_t id) {
    // Not active + inactive: a session that changes from one to the other is in neither for a
    // moment. Nobody begins sessions with these servers any more, so zero is final.
    return x_engine.board().loads.sessions(id) == 0;
  };
  for (control::Slice slice(control::kChoreTime); x_configuration.recycle_next(idle);)
    if (!slice.spend()) return;
  x_mark = 0;
  x_recycled_at = x_edits;
}

}  // namespace shunt::daemon
