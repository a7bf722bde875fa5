#include "runtime.h"

#include <sched.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "control/board_facts.h"
#include "control/slice.h"
#include "share/publish.h"

namespace shunt::daemon {

namespace {

/// A session cursor: worker, family and the worker's own cursor. 0 means the start and the end.
struct Cursor {
  uint32_t at = 0;
  unsigned worker = 0;
  bool v6 = false;

  static Cursor from(uint64_t number) {
    return {static_cast<uint32_t>(number), static_cast<unsigned>(number >> 33),
            (number >> 32 & 1) != 0};
  }
  uint64_t number() const { return uint64_t{worker} << 33 | uint64_t{v6} << 32 | at; }
};

/// How long a worker may take to answer; a stuck one is left out of the listing.
constexpr auto kPatience = std::chrono::seconds(2);

/// Waits for `dump` to come back. Others that come first were given up on: nobody writes them now.
bool wait_for(share::WorkerDesk& desk, const share::SessionDump* dump) {
  auto give_up = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    share::SessionDump* back = nullptr;
    if (desk.reports->receive(&back, 1) == 1) {
      if (back == dump) return true;
      delete back;
    } else if (std::chrono::steady_clock::now() > give_up) {
      return false;
    } else {
      sched_yield();
    }
  }
}

}  // namespace

control::Runtime Workers::runtime() {
  control::Runtime runtime;
  runtime.server = [this](uint32_t id) { return control::server_facts(x_engine.board(), id); };
  runtime.sessions = [this](uint64_t& cursor, size_t most) { return sessions(cursor, most); };
  runtime.publish = [this](auto, const ipvs::Timeouts&) { publish(); };
  return runtime;
}

std::vector<ipvs::SessionRecord> Workers::sessions(uint64_t& number, size_t most) {
  Cursor cursor = Cursor::from(number);
  auto& desks = x_engine.board().desks;
  std::vector<ipvs::SessionRecord> all;
  while (cursor.worker < desks.size() && all.size() < most) {
    auto dump = std::make_unique<share::SessionDump>();
    dump->records.resize(most - all.size());
    dump->cursor = cursor.at;
    dump->family = cursor.v6 ? Family::kV6 : Family::kV4;
    share::WorkerDesk& desk = *desks[cursor.worker];
    bool sent = desk.orders->send({share::Order::kDumpSessions, dump.get()});
    if (!sent || !wait_for(desk, dump.get())) {
      spdlog::warn("worker {} does not answer: its sessions are missing from the listing",
                   cursor.worker);
      if (sent) dump.release();  // the worker may still write it: wait_for frees it later
      cursor = {0, cursor.worker + 1, false};
      continue;
    }
    all.insert(all.end(), dump->records.begin(), dump->records.begin() + dump->count);
    cursor.at = dump->cursor;
    if (dump->done)
      cursor = cursor.v6 ? Cursor{0, cursor.worker + 1, false} : Cursor{0, cursor.worker, true};
  }
  number = cursor.worker < desks.size() ? cursor.number() : 0;
  return all;
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
