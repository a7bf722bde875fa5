#include "control/change.h"

#include <utility>

#include "ipvs/rule_lines.h"

namespace shunt::control {

using ipvs::Command;
using ipvs::Option;
using ipvs::Verb;

namespace {

/// Additions that are made together.
constexpr size_t kMostOfRun = 256;

}  // namespace

Change::Change(ipvs::Configuration& configuration, Accounts& accounts,
               const ipvs::PackedCommands& commands,
               std::function<void(std::string record)> publish)
    : x_configuration(configuration),
      x_accounts(accounts),
      x_commands(commands),
      x_publish(std::move(publish)) {
  x_configuration.begin();
}

Change::~Change() {
  const bool committed =
      x_phase == Phase::kBook || x_phase == Phase::kFree || x_phase == Phase::kDone;
  while (!committed && x_configuration.undo_next()) {
  }
}

bool Change::advance(Slice& slice) {
  while (x_phase != Phase::kDone) {
    step();
    if (!slice.spend()) break;
  }
  return x_phase == Phase::kDone;
}

void Change::step() {
  switch (x_phase) {
    case Phase::kApply:
      return apply_next();
    case Phase::kCompile:
      return compile_next();
    case Phase::kJoin:
      return join_next();
    case Phase::kTable:
      if (x_configuration.table_next()) return;
      x_configuration.commit();
      if (x_changed) x_publish(std::exchange(x_record, {}));
      x_at = 0;
      x_phase = Phase::kBook;
      return;
    case Phase::kBook:
      return book_next();
    case Phase::kFree:
      return free_next();
    case Phase::kUndo:
      if (!x_configuration.undo_next()) x_phase = Phase::kDone;
      return;
    case Phase::kDone:
      return;
  }
}

void Change::refuse(size_t index, const Error& error) {
  x_refusal = {index, error.status, error.message};
  x_phase = Phase::kUndo;
}

void Change::apply_next() {
  if (x_clearing) {
    x_clearing = x_configuration.drop_next();
    return;
  }
  if (x_at == x_commands.size()) {
    if (!x_run.empty()) return apply_run();
    x_phase = Phase::kCompile;
    return;
  }
  auto command = ipvs::parse_command(x_commands.words(x_at), "shuntadm", ipvs::numeric_names());
  const bool adds = command && command->verb == Verb::kAddServer;
  if (!x_run.empty() && (!adds || command->service.key != x_run[0].service.key))
    if (apply_run(); x_refusal) return;
  if (!command) return refuse(x_at, command.error());
  if (adds) {
    x_run.push_back(std::move(*command));
    if (x_at++; x_run.size() == kMostOfRun) apply_run();
    return;
  }
  if (command->verb == Verb::kClear) {
    if (auto built = x_configuration.check_built(*command); !built)
      return refuse(x_at, built.error());
    x_clearing = true;
  } else if (auto applied = x_configuration.apply(*command); !applied) {
    return refuse(x_at, applied.error());
  }
  record(*command);
  note(*command, x_at++);
}

void Change::apply_run() {
  const std::vector<Command> run = std::exchange(x_run, {});
  const auto results = x_configuration.add_servers(run);
  for (size_t i = 0; i < run.size(); i++)
    if (!results[i]) return refuse(x_at - run.size() + i, results[i].error());
  for (const Command& command : run) record(command);
  note(run[0], x_at - 1);
}

void Change::record(const Command& command) {
  if (command.verb != Verb::kZero) x_record += ipvs::rule_line(command) + "\n";
}

void Change::note(const Command& command, size_t index) {
  x_changed |= command.verb != Verb::kZero;
  if (command.verb == Verb::kSetTimeouts || command.verb == Verb::kSetKnob) return;
  // All but these two mean that a service is to be looked at.
  auto special = [](Verb verb) { return verb == Verb::kClear || verb == Verb::kZero; };
  if (!x_notes.empty() && !special(command.verb) && !special(x_notes.back().verb) &&
      x_notes.back().key == command.service.key) {
    x_notes.back().last = index;
    return;
  }
  x_notes.push_back({command.verb, command.has(Option::kService), command.service.key, index});
}

void Change::compile_next() {
  ipvs::ServiceKey key;
  auto more = x_configuration.compile_next(key);
  if (more && *more) return;
  if (more) {
    x_at = 0;
    x_phase = Phase::kJoin;
    return;
  }
  // The last command that changed this service is the one that made it impossible.
  size_t index = 0;
  for (const Note& note : x_notes)
    if (note.key == key) index = note.last;
  refuse(index, more.error());
}

void Change::join_next() {
  if (x_at == x_notes.size()) {
    x_phase = Phase::kTable;
    return;
  }
  if (const auto* service = x_configuration.find_changed(x_notes[x_at++].key))
    x_accounts.join(*service);
}

void Change::book_next() {
  if (x_at == x_notes.size()) {
    x_phase = Phase::kFree;
    return;
  }
  const Note& note = x_notes[x_at];
  if (note.verb == Verb::kZero && !note.has_service) {
    if (x_accounts.zero_next(x_zeroed)) return;
    x_zeroed.reset();
  } else if (note.verb == Verb::kZero) {
    x_accounts.zero(note.key);
  } else if (note.verb == Verb::kClear) {
    x_accounts.close_all();
  } else if (const auto* service = x_configuration.find(note.key)) {
    x_accounts.follow(*service);
  } else {
    x_accounts.close(note.key);
  }
  x_at++;
}

void Change::free_next() {
  if (!x_configuration.free_next() && !x_accounts.free_next()) x_phase = Phase::kDone;
}

}  // namespace shunt::control
