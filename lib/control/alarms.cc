#include "control/alarms.h"

#include <array>

namespace shunt::control {

namespace {

/// Reasons that packets are dropped for when something ran out that others need, too.
constexpr std::array kWatched = {
    ipvs::DropReason::kUnresolved,         ipvs::DropReason::kHoldShare,
    ipvs::DropReason::kTableFull,          ipvs::DropReason::kIndexFull,
    ipvs::DropReason::kCallIdsFull,        ipvs::DropReason::kNoLocalPort,
    ipvs::DropReason::kPathMtuRate,        ipvs::DropReason::kFragmentsFull,
    ipvs::DropReason::kFragmentSourceFull, ipvs::DropReason::kNoBuffer};

/// What workers count that could not be had, although no packet was dropped for it.
struct WatchedCounter {
  std::string_view name, what;
  Counter share::WorkerCounters::*counter;
};
constexpr WatchedCounter kWatchedCounters[] = {
    {"unhelped", "control connections of FTP find no room for help, and are forwarded without it",
     &share::WorkerCounters::unhelped},
    {"classes_refused", "endpoints find no class, and their flows take a slower lookup",
     &share::WorkerCounters::classes_refused}};

uint64_t dropped(const share::Board& board, ipvs::DropReason reason) {
  uint64_t sum = 0;
  for (const auto& desk : board.desks)
    sum += desk->counters.dropped[static_cast<size_t>(reason)].get();
  return sum;
}

}  // namespace

Alarms::Alarms(const share::Board& board, Line warn, Line tell)
    : x_warn(std::move(warn)), x_tell(std::move(tell)) {
  auto watch = [this](std::string_view name, std::string_view what, auto count) {
    Alarm alarm;
    alarm.name = name;
    alarm.what = what;
    alarm.count = count;
    alarm.seen = alarm.count();
    x_alarms.push_back(std::move(alarm));
  };
  for (ipvs::DropReason reason : kWatched) {
    const ipvs::DropReasonRow& row = ipvs::kDropReasonTable[static_cast<size_t>(reason)];
    watch(row.name, row.what, [&board, reason] { return dropped(board, reason); });
  }
  for (const WatchedCounter& watched : kWatchedCounters)
    watch(watched.name, watched.what, [&board, counter = watched.counter] {
      uint64_t sum = 0;
      for (const auto& desk : board.desks) sum += (desk->counters.*counter).get();
      return sum;
    });
  for (size_t i = 0; i < share::kExhaustionTable.size(); i++) {
    const share::ExhaustionRow& row = share::kExhaustionTable[i];
    if (!row.has_alarm) continue;
    watch(row.name, row.what, [&board, i] { return board.exhaustions[i].get(); });
  }
}

void Alarms::look() {
  for (Alarm& alarm : x_alarms) look_at(alarm);
}

void Alarms::look_at(Alarm& alarm) {
  const uint64_t count = alarm.count();
  const bool moved = count != alarm.seen;
  if (moved && !alarm.is_on) {
    alarm.is_on = true;
    alarm.began = alarm.seen;
    x_warn(std::string(alarm.name) + " begins: " + std::string(alarm.what));
  }
  alarm.quiet = moved ? 0 : alarm.quiet + 1;
  alarm.seen = count;
  if (!alarm.is_on || alarm.quiet < kQuiet) return;
  alarm.is_on = false;
  x_tell(std::string(alarm.name) + " is over: it counted " + std::to_string(count - alarm.began));
}

}  // namespace shunt::control
