#include "ipvs/rules.h"

#include <optional>
#include <sstream>

#include "ipvs/schedulers/maglev.h"

namespace shunt::ipvs {

namespace {

constexpr const char* kMaglevKey = "--maglev-key";

/// Carries out all of `commands` (which may hold some already) and the lines of `text`, or nothing.
Result<std::vector<Command>> apply(Configuration& configuration, std::vector<Command> commands,
                                   const std::string& text, const std::string& file,
                                   const Names& names) {
  const bool replaces = !commands.empty();
  std::optional<net::SipKey> maglev_key;
  auto at_line = [&](int line, const std::string& sentence) {
    return Error{file + ":" + std::to_string(line) + ": " + sentence, 2};
  };
  std::vector<int> lines(commands.size(), 0);
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    number++;
    auto words = split_line(line, "ipvsadm");
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words[0] == kMaglevKey) {
      if (maglev_key) return at_line(number, "there are two lines of --maglev-key");
      maglev_key = words.size() == 2 ? parse_maglev_key(words[1]) : std::nullopt;
      if (!maglev_key)
        return at_line(
            number, "--maglev-key needs 32 hexadecimal digits; `openssl rand -hex 16` makes them");
      continue;
    }
    auto command = parse_command(words, "ipvsadm", names);
    if (!command) {
      std::string sentence = command.error().message;
      while (sentence.ends_with('\n')) sentence.pop_back();
      if (sentence.starts_with("Try `")) sentence = "not a command of ipvsadm: " + words[0];
      return at_line(number, sentence);
    }
    if (!Configuration::is_edit(command->verb)) {
      if (auto built = configuration.check_built(*command); !built)
        return at_line(number, built.error().message);
      return at_line(number, "'" + std::string(name(command->verb)) +
                                 "' is no rule: only commands that change services, servers, "
                                 "timeouts or knobs belong here");
    }
    commands.push_back(std::move(*command));
    lines.push_back(number);
  }
  size_t failed = 0;
  const auto* key = replaces || maglev_key ? &maglev_key : nullptr;
  if (auto applied = configuration.apply_all(commands, failed, key); !applied)
    return at_line(lines[failed], applied.error().message);
  return commands;
}

}  // namespace

Result<void> replace_rules(Configuration& configuration, const std::string& text,
                           const std::string& file, const Names& names) {
  std::vector<Command> clear(1);
  clear[0].verb = Verb::kClear;
  auto applied = apply(configuration, std::move(clear), text, file, names);
  if (!applied) return applied.error();
  return {};
}

Result<std::vector<Command>> apply_rules(Configuration& configuration, const std::string& text,
                                         const std::string& file, const Names& names) {
  return apply(configuration, {}, text, file, names);
}

}  // namespace shunt::ipvs
