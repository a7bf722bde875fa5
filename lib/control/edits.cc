#include "control/edits.h"

#include <utility>

#include "control/change.h"
#include "ipvs/command.h"

namespace shunt::control {

using ipvs::Command;
using ipvs::Configuration;
using ipvs::Option;
using ipvs::Verb;

namespace {

/// Additions that are made together, for which their service is compiled once.
constexpr size_t kMostOfRun = 1024;

/// Is it about all services, however many there are?
bool is_about_everything(const Command& command) {
  return command.verb == Verb::kClear ||
         (command.verb == Verb::kZero && !command.has(Option::kService));
}

}  // namespace

EditAnswer::EditAnswer(Executor& executor, ipvs::PackedCommands commands)
    : x_executor(executor), x_commands(std::move(commands)) {}

EditAnswer::~EditAnswer() = default;

size_t EditAnswer::memory() const {
  return x_commands.memory() + x_run.capacity() * sizeof(Command);
}

void EditAnswer::error(size_t index, const Error& error, std::string& to) {
  x_writer.error(to, {index, error.status, error.message});
}

Progress EditAnswer::work(std::string& to) {
  if (!x_change && x_executor.is_changing()) return Progress::kWaits;
  if (!std::exchange(x_begun, true)) x_writer.begin(to);
  Slice slice;
  if (x_whole && !x_change) x_change = x_executor.begin_change(*x_whole);
  if (x_change) {
    if (!x_change->advance(slice)) return Progress::kMore;
    if (const auto& refusal = x_change->refusal())
      error(x_at - 1, {refusal->message, refusal->status}, to);
    x_change.reset();
    x_whole.reset();
  }
  // A command about everything ends the slice: in the next one nothing is written before it is
  // done, so that it never waits for a client that does not read.
  do {
    if (x_at == x_commands.size() && x_run.empty()) {
      x_executor.publish();
      x_writer.end(to, {});
      return Progress::kDone;
    }
    step(to);
  } while (!x_whole && slice.spend() && to.size() < kSliceBytes);
  x_executor.publish();
  return Progress::kMore;
}

void EditAnswer::step(std::string& to) {
  if (x_at == x_commands.size()) return add_run(to);
  auto command = ipvs::parse_command(x_commands.words(x_at), "shuntadm", ipvs::numeric_names());
  const bool adds = command && command->verb == Verb::kAddServer;
  if (!x_run.empty() &&
      (!adds || command->service.key != x_run[0].service.key || x_run.size() == kMostOfRun))
    add_run(to);
  x_at++;
  if (!command)
    error(x_at - 1, command.error(), to);
  else if (adds)
    x_run.push_back(std::move(*command));
  else
    carry_out(*command, to);
}

void EditAnswer::carry_out(const Command& command, std::string& to) {
  if (is_about_everything(command)) {
    x_whole.emplace().add_command();
    for (const std::string& word : x_commands.words(x_at - 1)) x_whole->add_word(word);
  } else if (!Configuration::is_edit(command.verb)) {
    error(x_at - 1, {"only commands that change something come in numbers", 2}, to);
  } else if (auto applied = x_executor.apply(command); !applied) {
    error(x_at - 1, applied.error(), to);
  }
}

void EditAnswer::add_run(std::string& to) {
  const std::vector<Command> run = std::exchange(x_run, {});
  const auto results = x_executor.add_servers(run);
  for (size_t i = 0; i < run.size(); i++)
    if (!results[i]) error(x_at - run.size() + i, results[i].error(), to);
}

AtomicAnswer::AtomicAnswer(Executor& executor, ipvs::PackedCommands commands)
    : x_executor(executor), x_commands(std::move(commands)) {}

AtomicAnswer::~AtomicAnswer() = default;

size_t AtomicAnswer::memory() const {
  return x_commands.memory() + (x_change ? x_change->memory() : 0);
}

Progress AtomicAnswer::work(std::string& to) {
  if (!x_change) x_change = x_executor.begin_change(x_commands);
  if (!x_change) return Progress::kWaits;
  Slice slice;
  if (!x_change->advance(slice)) return Progress::kMore;
  ipvs::ReplyWriter writer;
  writer.begin(to);
  if (const auto& refusal = x_change->refusal()) writer.error(to, *refusal);
  writer.end(to, {});
  x_change.reset();
  return Progress::kDone;
}

}  // namespace shunt::control
