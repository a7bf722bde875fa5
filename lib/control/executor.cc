#include "control/executor.h"

#include <algorithm>
#include <span>

#include "ipvs/command.h"
#include "ipvs/rules.h"

namespace shunt::control {

using ipvs::Command;
using ipvs::Configuration;
using ipvs::Option;
using ipvs::Reply;
using ipvs::Verb;

namespace {

/// Names are looked up by the client: a daemon must not wait for DNS.
const ipvs::Names& no_names() {
  static const ipvs::Names names = ipvs::numeric_names();
  return names;
}

ipvs::CommandError error_at(size_t index, const Error& error) {
  return {index, error.status, error.message};
}

size_t additions(const std::vector<Command>& commands, size_t from) {
  return Configuration::additions(std::span(commands).subspan(from));
}

/// What no other listing shows is not worth being sent.
void leave_counters_out(ipvs::ServiceListing& service) {
  service.totals = service.rates = {};
  for (ipvs::ServerListing& server : service.servers) server.totals = server.rates = {};
}

}  // namespace

Executor::Executor(Configuration& configuration, Runtime runtime)
    : x_configuration(configuration), x_runtime(std::move(runtime)), x_accounts(x_runtime.server) {}

std::string Executor::answer(std::string_view line) {
  auto request = ipvs::decode_request(line);
  if (!request) return encode(Reply{{error_at(0, request.error())}, {}, {}, {}, {}, {}, false});
  return encode(execute(*request));
}

Reply Executor::execute(const ipvs::Request& request) {
  Reply reply;
  std::vector<Command> commands;
  std::vector<size_t> places;  // in the request
  for (size_t i = 0; i < request.commands.size(); i++) {
    auto command = ipvs::parse_command(request.commands[i], "shuntadm", no_names());
    if (!command) {
      reply.errors.push_back(error_at(i, command.error()));
      if (request.atomic) return reply;
      continue;
    }
    commands.push_back(std::move(*command));
    places.push_back(i);
  }
  if (request.atomic) {
    size_t failed = 0;
    if (auto done = x_configuration.apply_all(commands, failed); !done)
      reply.errors.push_back(error_at(failed, done.error()));
    else
      for (size_t i = 0; i < commands.size(); i += std::max<size_t>(1, additions(commands, i)))
        book(commands[i]);
  } else if (request.commands.size() == 1) {
    for (const Command& command : commands)
      if (auto done = execute(command, request.cursor, reply); !done)
        reply.errors.push_back(error_at(0, done.error()));
  } else {
    edit(commands, places, reply);
  }
  publish();
  return reply;
}

void Executor::edit(const std::vector<Command>& commands, const std::vector<size_t>& places,
                    Reply& reply) {
  for (size_t i = 0; i < commands.size();) {
    if (size_t run = additions(commands, i); run > 0) {
      bool changed = false;
      for (const auto& added : x_configuration.add_servers(std::span(commands).subspan(i, run))) {
        changed |= added.has_value();
        if (!added) reply.errors.push_back(error_at(places[i], added.error()));
        i++;
      }
      if (changed) book(commands[i - 1]);
      continue;
    }
    if (!Configuration::is_edit(commands[i].verb))
      reply.errors.push_back({places[i], 2, "only commands that change something come in numbers"});
    else if (auto done = execute(commands[i], 0, reply); !done)
      reply.errors.push_back(error_at(places[i], done.error()));
    i++;
  }
  std::stable_sort(reply.errors.begin(), reply.errors.end(),
                   [](const auto& a, const auto& b) { return a.index < b.index; });
}

Result<void> Executor::execute(const Command& command, uint64_t cursor, Reply& reply) {
  if (Configuration::is_edit(command.verb)) {
    auto applied = x_configuration.apply(command);
    if (applied) book(command);
    return applied;
  }
  if (auto built = x_configuration.check_built(command); !built) return built;
  if (command.verb == Verb::kStartDaemon)
    return Error{"--start-daemon is refused: connections are not synchronized yet", 255};
  if (command.verb == Verb::kStopDaemon) return Error{"No daemon is running", 255};
  if (command.verb == Verb::kShowKnobs) {
    reply.knobs = x_configuration.knobs();
    return {};
  }
  if (command.verb != Verb::kList && command.verb != Verb::kSave)
    return Error{"'" + std::string(name(command.verb)) + "' is not for the daemon", 2};
  if (command.has(Option::kConnection)) {
    reply.sessions = x_runtime.sessions(cursor, ipvs::kSessionsPerReply);
    if (cursor != 0) reply.cursor = cursor;
  } else if (command.has(Option::kTimeout)) {
    reply.timeouts = x_configuration.timeouts();
  } else if (command.has(Option::kDaemon)) {
    reply.no_daemon = true;
  } else if (command.has(Option::kService)) {
    const auto* service = x_configuration.find(command.service.key);
    if (!service) return Error{"No such service", 1};
    reply.services = {x_accounts.listing(*service)};
  } else {
    reply.services = services();
  }
  bool counted =
      command.has(Option::kStats) || command.has(Option::kRate) || command.has(Option::kJson);
  if (reply.services && !counted)
    for (ipvs::ServiceListing& service : *reply.services) leave_counters_out(service);
  return {};
}

void Executor::tick() {
  if (knobs().of(ipvs::Knob::kRunEstimation) != 0) x_accounts.tick();
  x_accounts.sweep();
}

ipvs::Listing Executor::services() const {
  ipvs::Listing listing;
  listing.reserve(x_configuration.services().size());
  for (const auto& [key, service] : x_configuration.services())
    listing.push_back(x_accounts.listing(service));
  return listing;
}

void Executor::book(const Command& command) {
  const ipvs::ServiceKey& key = command.service.key;
  switch (command.verb) {
    case Verb::kClear:
      x_accounts.close_all();
      break;
    case Verb::kZero:
      if (command.has(Option::kService))
        x_accounts.zero(key);
      else
        x_accounts.zero_all();
      return;
    case Verb::kSetTimeouts:
    case Verb::kSetKnob:
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
  if (auto applied = replace_rules(x_configuration, text, file, names); !applied) return applied;
  settle();
  return {};
}

Result<void> Executor::apply_rules(const std::string& text, const std::string& file,
                                   const ipvs::Names& names) {
  auto applied = ipvs::apply_rules(x_configuration, text, file, names);
  if (!applied) return applied.error();
  for (const Command& command : *applied) book(command);
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
}

}  // namespace shunt::control
