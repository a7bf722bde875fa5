#include "control/executor.h"

#include <utility>

#include "control/change.h"
#include "control/edits.h"
#include "control/journal.h"
#include "control/listings.h"
#include "ipvs/command.h"
#include "ipvs/rules.h"

namespace shunt::control {

using ipvs::Command;
using ipvs::Configuration;
using ipvs::Option;
using ipvs::Reply;
using ipvs::Verb;

namespace {

std::unique_ptr<Answer> at_once(Reply reply) {
  return std::make_unique<ReadyAnswer>(std::move(reply));
}

}  // namespace

Executor::Executor(Configuration& configuration, Runtime runtime)
    : x_configuration(configuration), x_runtime(std::move(runtime)), x_accounts(x_runtime.server) {}

Executor::~Executor() = default;

std::unique_ptr<Answer> Executor::refuse(const Error& error) {
  Reply reply;
  reply.errors.push_back({0, error.status, error.message});
  return at_once(std::move(reply));
}

std::unique_ptr<Answer> Executor::begin(ipvs::PackedRequest request) {
  if (request.atomic) return std::make_unique<AtomicAnswer>(*this, std::move(request.commands));
  if (request.commands.size() != 1)
    return std::make_unique<EditAnswer>(*this, std::move(request.commands));
  auto command = ipvs::parse_command(request.commands.words(0), "shuntadm", ipvs::numeric_names());
  if (!command) return refuse(command.error());
  if (Configuration::is_edit(command->verb))
    return std::make_unique<EditAnswer>(*this, std::move(request.commands));
  if (auto built = x_configuration.check_built(*command); !built) return refuse(built.error());
  if (command->verb == Verb::kStartDaemon)
    return refuse({"--start-daemon is refused: connections are not synchronized yet", 255});
  if (command->verb == Verb::kStopDaemon) return refuse({"No daemon is running", 255});
  Reply reply;
  if (command->verb == Verb::kShowKnobs) {
    reply.knobs = x_configuration.knobs();
    return at_once(std::move(reply));
  }
  if (command->verb != Verb::kList && command->verb != Verb::kSave)
    return refuse({"'" + std::string(name(command->verb)) + "' is not for the daemon", 2});
  if (command->has(Option::kConnection))
    return std::make_unique<SessionsAnswer>(*this, request.cursor);
  if (command->has(Option::kTimeout) || command->has(Option::kDaemon)) {
    reply.no_daemon = !command->has(Option::kTimeout);
    if (!reply.no_daemon) reply.timeouts = x_configuration.timeouts();
    return at_once(std::move(reply));
  }
  if (command->has(Option::kService) && !x_configuration.find(command->service.key))
    return refuse({"No such service", 1});
  return std::make_unique<ServicesAnswer>(*this, *command);
}

std::string Executor::answer(std::string_view line) {
  ipvs::RequestReader reader;
  reader.feed(line);
  auto request = reader.finish();
  std::string text;
  auto answer = request ? begin(std::move(*request)) : refuse(request.error());
  for (Progress progress = Progress::kMore; progress != Progress::kDone;) {
    progress = answer->work(text);
    if (progress == Progress::kWaits) finish_change();
  }
  return text;
}

Reply Executor::execute(const ipvs::Request& request) {
  auto reply = ipvs::decode_reply(answer(encode(request)));
  return reply ? std::move(*reply) : Reply{{{0, reply.error().status, reply.error().message}}};
}

Result<void> Executor::carry_out(const Command& command) {
  finish_change();
  auto applied = apply(command);
  publish();
  return applied;
}

void Executor::begin_tick() {
  if (knobs().of(ipvs::Knob::kRunEstimation) != 0) x_accounts.begin_tick();
  x_accounts.begin_sweep();
}

void Executor::continue_tick() {
  Slice slice(kChoreTime);
  while (x_accounts.tick_next() || x_accounts.sweep_next())
    if (!slice.spend()) return;
}

void Executor::tick() {
  begin_tick();
  while (x_accounts.tick_next() || x_accounts.sweep_next()) {
  }
}

std::shared_ptr<Change> Executor::begin_change(const ipvs::PackedCommands& commands) {
  if (is_changing()) return nullptr;
  auto change =
      std::make_shared<Change>(x_configuration, x_accounts, commands, [this](std::string record) {
        x_record += record;
        x_changed = true;
        publish();
      });
  x_change = change;
  return change;
}

void Executor::finish_change() {
  if (auto change = x_change.lock())
    for (Slice slice; !change->advance(slice);) slice = Slice();
  x_change.reset();
}

Result<void> Executor::apply(const Command& command) {
  auto applied = x_configuration.apply(command);
  if (!applied) return applied;
  note(command);
  book(command);
  return applied;
}

std::vector<Result<void>> Executor::add_servers(const std::vector<Command>& commands) {
  auto results = x_configuration.add_servers(commands);
  for (size_t i = 0; i < results.size(); i++)
    if (results[i]) note(commands[i]);
  for (const auto& added : results) {
    if (!added) continue;
    book(commands[0]);
    break;
  }
  return results;
}

void Executor::book(const Command& command) {
  const ipvs::ServiceKey& key = command.service.key;
  switch (command.verb) {
    case Verb::kClear:
      x_accounts.close_all();
      while (x_accounts.free_next()) {
      }
      break;
    case Verb::kZero:
      if (command.has(Option::kService))
        x_accounts.zero(key);
      else
        x_accounts.zero_all();
      return;
    case Verb::kSetTimeouts:
    case Verb::kSetKnob:
    case Verb::kEditService:
    case Verb::kEditServer:  // the service has the servers that it had
      break;
    default:
      if (const auto* service = x_configuration.find(key))
        x_accounts.follow(*service);
      else
        x_accounts.close(key);
  }
  x_changed = true;
}

Result<void> Executor::load_rules(const std::string& text, const std::string& file,
                                  const ipvs::Names& names) {
  finish_change();
  if (auto applied = replace_rules(x_configuration, text, file, names); !applied) return applied;
  x_replaced = true;
  settle();
  return {};
}

Result<void> Executor::load(const ipvs::RuleSet& rules) {
  finish_change();
  std::vector<Command> commands = rules.commands();
  commands.insert(commands.begin(), Command{})->verb = Verb::kClear;
  size_t failed = 0;
  auto applied = x_configuration.apply_all(commands, failed, &rules.maglev_key());
  if (!applied)
    return Error{"'" + ipvs::rule_line(commands[failed]) + "': " + applied.error().message};
  x_replaced = true;
  settle();
  return {};
}

Result<void> Executor::apply_rules(const std::string& text, const std::string& file,
                                   const ipvs::Names& names) {
  finish_change();
  auto applied = ipvs::apply_rules(x_configuration, text, file, names);
  if (!applied) return applied.error();
  for (const Command& command : *applied) {
    note(command);
    book(command);
  }
  settle();
  return {};
}

void Executor::settle() {
  x_accounts.keep_only(x_configuration);
  for (const auto& [key, service] : x_configuration.services()) x_accounts.follow(service);
  x_changed = true;
  publish();
}

void Executor::publish() {
  if (!x_changed) return;
  x_changed = false;
  x_runtime.publish(x_configuration.table(), x_configuration.timeouts());
  keep();
}

void Executor::set_journal(Journal* journal, uint64_t revision, const ipvs::Knobs& base) {
  x_journal = journal;
  x_revision = revision;
  x_base = base;
}

bool Executor::is_kept(uint64_t revision) const {
  return !x_journal || x_journal->is_kept(revision);
}

std::optional<ipvs::RuleSet> Executor::rules() const {
  if (x_configuration.is_open()) return std::nullopt;
  return ipvs::RuleSet::of(x_configuration, x_base);
}

void Executor::note(const Command& command) {
  if (command.verb != Verb::kZero) x_record += ipvs::rule_line(command) + "\n";
}

void Executor::keep() {
  if (x_record.empty() && !x_replaced) return;
  x_revision++;
  std::string record = std::exchange(x_record, {});
  const bool replaced = std::exchange(x_replaced, false);
  if (!x_journal) return;
  if (replaced)
    x_journal->replace(rules()->lines(), x_revision);
  else
    x_journal->append(std::move(record), x_revision);
}

}  // namespace shunt::control
