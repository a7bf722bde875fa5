#include "ipvs/ipvsadm.h"

#include <istream>
#include <optional>
#include <ostream>

#include "ipvs/command.h"
#include "ipvs/configuration.h"

namespace shunt::ipvs {
namespace {

/// Lines of a restore that are sent together.
constexpr size_t kLinesPerRequest = 2500;

class Run {
 public:
  Run(const std::string& program, const Names& names, const Exchange& exchange,
      const Streams& streams)
      : x_program(program), x_names(names), x_exchange(exchange), x_streams(streams) {}

  int command(const std::vector<std::string>& arguments) {
    // Without a verb ipvsadm lists; so does --json alone.
    if (arguments == std::vector<std::string>{"--json"}) return this->command({"-L", "--json"});
    auto command = parse_command(arguments, x_program, x_names);
    if (!command) return fail(command.error());
    if (command->verb == Verb::kRestore)
      return command->has(Option::kAtomic) ? restore_atomically() : restore();
    return carry_out(*command);
  }

 private:
  int fail(const Error& error) {
    x_streams.err << error.message << '\n';
    return error.status;
  }

  int carry_out(const Command& command) {
    switch (command.verb) {
      case Verb::kHelp:
        x_streams.out << usage_text(x_program);
        return 0;
      case Verb::kVersion:
        x_streams.out << version_text(x_program);
        return 0;
      case Verb::kList:
        return command.has(Option::kConnection) ? list_sessions(command) : list(command);
      default:
        return list(command);
    }
  }

  /// Sends one command and prints what comes back, a listing or nothing.
  int list(const Command& command) {
    auto reply = x_exchange({{to_arguments(command)}});
    if (!reply) return fail(reply.error());
    if (!reply->errors.empty()) return fail({reply->errors[0].message, reply->errors[0].status});
    bool json = command.has(Option::kJson);
    if (reply->services) {
      if (json && !command.has(Option::kNoSort)) sort_listing(*reply->services);
      x_streams.out << (json ? services_json(*reply->services, *reply)
                        : command.verb == Verb::kSave
                            ? rules_text(std::move(*reply->services), command, x_names)
                            : services_text(std::move(*reply->services), command, x_names));
    }
    if (reply->timeouts)
      x_streams.out << (json ? timeouts_json(*reply->timeouts) : timeouts_text(*reply->timeouts));
    if (reply->no_daemon && json) x_streams.out << "{\"daemons\":[]}\n";
    if (reply->knobs)
      x_streams.out << (json ? knobs_json(*reply->knobs, command.knob)
                             : knobs_text(*reply->knobs, command));
    return 0;
  }

  int list_sessions(const Command& command) {
    bool json = command.has(Option::kJson), first = true;
    Request request{{to_arguments(command)}};
    for (;;) {
      auto reply = x_exchange(request);
      if (!reply) return fail(reply.error());
      if (!reply->errors.empty()) return fail({reply->errors[0].message, reply->errors[0].status});
      if (first) x_streams.out << (json ? "{\"sessions\":[" : sessions_head(command));
      std::vector<SessionRecord> none;
      const auto& sessions = reply->sessions ? *reply->sessions : none;
      if (json)
        x_streams.out << (first || sessions.empty() ? "" : ",") << sessions_json(sessions);
      else
        x_streams.out << sessions_text(sessions, command, x_names);
      first = false;
      if (!reply->cursor) break;
      request.cursor = *reply->cursor;
    }
    if (json) x_streams.out << "]}\n";
    return 0;
  }

  /// Goes on after a refused line and after popt's errors; other errors end it. The status is the
  /// last line's.
  int restore() {
    int status = 0;
    std::vector<std::vector<std::string>> pending;
    // Sends what is pending; false if the daemon is gone.
    auto send = [&]() -> bool {
      if (pending.empty()) return true;
      size_t count = pending.size();
      auto reply = x_exchange({std::move(pending)});
      pending.clear();
      if (!reply) {
        status = fail(reply.error());
        return false;
      }
      status = 0;
      for (const CommandError& error : reply->errors) {
        x_streams.err << error.message << '\n';
        if (error.index + 1 == count) status = error.status;
      }
      return true;
    };

    for (std::string line; std::getline(x_streams.in, line);) {
      auto words = split_line(line, x_program);
      if (words.empty()) continue;
      auto command = parse_command(words, x_program, x_names);
      bool edit = command && Configuration::is_edit(command->verb);
      if (edit) pending.push_back(to_arguments(*command));
      if ((!edit || pending.size() == kLinesPerRequest) && !send()) return status;
      if (edit) continue;
      if (!command) {
        status = fail(command.error());
        if (!goes_on(command.error())) return status;
      } else if (command->verb == Verb::kRestore) {
        return fail(parse_command({"-"}, x_program, x_names).error());
      } else {
        status = carry_out(*command);
        bool ends = command->verb == Verb::kHelp || command->verb == Verb::kVersion ||
                    (command->verb == Verb::kList && status != 0);
        if (ends) return status;
      }
    }
    send();
    return status;
  }

  /// All lines or none; an error names its line.
  int restore_atomically() {
    Request request;
    request.atomic = true;
    std::vector<int> lines;
    auto fail_at = [&](int line, const std::string& message, int status) {
      return fail({"standard input:" + std::to_string(line) + ": " + message, status});
    };
    int number = 0;
    for (std::string line; std::getline(x_streams.in, line);) {
      number++;
      auto words = split_line(line, x_program);
      if (words.empty()) continue;
      auto command = parse_command(words, x_program, x_names);
      if (!command) return fail_at(number, command.error().message, command.error().status);
      if (!Configuration::is_edit(command->verb))
        return fail_at(number, "'" + std::string(name(command->verb)) + "' changes nothing", 2);
      request.commands.push_back(to_arguments(*command));
      lines.push_back(number);
    }
    auto reply = x_exchange(request);
    if (!reply) return fail(reply.error());
    if (reply->errors.empty()) return 0;
    const CommandError& error = reply->errors[0];
    if (error.index >= lines.size()) return fail({error.message, error.status});
    return fail_at(lines[error.index], error.message, error.status);
  }

  const std::string& x_program;
  const Names& x_names;
  const Exchange& x_exchange;
  const Streams& x_streams;
};

}  // namespace

int run_ipvsadm(const std::vector<std::string>& arguments, const std::string& program,
                const Names& names, const Exchange& exchange, const Streams& streams) {
  return Run(program, names, exchange, streams).command(arguments);
}

}  // namespace shunt::ipvs
