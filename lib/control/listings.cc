#include "control/listings.h"

#include <algorithm>
#include <utility>

#include "control/journal.h"
#include "ipvs/command.h"

namespace shunt::control {

using ipvs::Option;

namespace {

/// Servers, and sessions, between looks at the clock.
constexpr size_t kServersAtOnce = 64, kSessionsAtOnce = 128;

bool is_counted(const ipvs::Command& command) {
  return command.has(Option::kStats) || command.has(Option::kRate) || command.has(Option::kJson);
}

}  // namespace

ServicesAnswer::ServicesAnswer(Executor& executor, const ipvs::Command& command)
    : x_executor(executor),
      x_only(command.has(Option::kService) ? std::optional(command.service.key) : std::nullopt),
      x_counted(is_counted(command)) {}

size_t ServicesAnswer::memory() const {
  return x_servers.capacity() * sizeof(ipvs::ConfiguredServer);
}

Progress ServicesAnswer::work(std::string& to) {
  if (!std::exchange(x_begun, true)) {
    x_writer.begin(to);
    x_writer.begin_services(to);
  }
  Slice slice;
  do {
    if (!x_reading && !begin_next(to)) {
      ipvs::Reply rest;
      if (const Journal* journal = x_executor.journal()) {
        rest.revision = x_executor.revision();
        rest.on_disk = journal->on_disk();
      }
      x_writer.end(to, rest);
      return Progress::kDone;
    }
    show_servers(to);
  } while (slice.spend(kServersAtOnce / 16) && to.size() < kSliceBytes);
  return Progress::kMore;
}

bool ServicesAnswer::begin_next(std::string& to) {
  const auto& configuration = x_executor.configuration();
  const ipvs::ConfiguredService* service = nullptr;
  if (!x_only)
    service = configuration.next(x_last);
  else if (!x_last)
    service = configuration.find(*x_only);
  if (!service) return false;
  x_last = service->config.key;
  x_servers = service->servers;
  x_at = 0;
  x_reading = x_executor.accounts().begin(*x_last);
  x_writer.begin_service(to, service->config);
  return true;
}

void ServicesAnswer::show_servers(std::string& to) {
  const size_t end = std::min(x_at + kServersAtOnce, x_servers.size());
  for (; x_at < end; x_at++) {
    auto row = x_executor.accounts().server(x_servers[x_at], *x_reading);
    if (!row) continue;
    // What is not shown is not worth being sent.
    if (!x_counted) row->totals = row->rates = {};
    x_writer.server(to, *row);
  }
  if (x_at < x_servers.size()) return;
  auto [totals, rates] = x_executor.accounts().end(*x_reading);
  if (!x_counted) totals = rates = {};
  x_writer.end_service(to, totals, rates);
  x_reading.reset();
}

Progress SessionsAnswer::work(std::string& to) {
  if (!std::exchange(x_begun, true)) {
    x_writer.begin(to);
    x_writer.begin_sessions(to);
  }
  Slice slice;
  do {
    std::vector<ipvs::SessionRecord> page;
    if (!x_reader->read(x_cursor, std::min(x_left, kSessionsAtOnce), page)) return Progress::kMore;
    for (const ipvs::SessionRecord& session : page) x_writer.session(to, session);
    x_left -= page.size();
    if (x_cursor == 0 || x_left == 0) {
      ipvs::Reply rest;
      if (x_cursor != 0) rest.cursor = x_cursor;
      x_writer.end(to, rest);
      return Progress::kDone;
    }
  } while (slice.spend(kSessionsAtOnce) && to.size() < kSliceBytes);
  return Progress::kMore;
}

}  // namespace shunt::control
