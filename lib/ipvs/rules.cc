#include "ipvs/rules.h"

#include <sstream>

namespace shunt::ipvs {

namespace {

/// Carries out all of `commands` (which may hold some already) and the lines of `text`, or nothing.
Result<void> apply(Configuration& configuration, std::vector<Command> commands,
                   const std::string& text, const std::string& file, const Names& names) {
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
  if (auto applied = configuration.apply_all(commands, failed); !applied)
    return at_line(lines[failed], applied.error().message);
  return {};
}

}  // namespace

Result<void> replace_rules(Configuration& configuration, const std::string& text,
                           const std::string& file, const Names& names) {
  std::vector<Command> clear(1);
  clear[0].verb = Verb::kClear;
  return apply(configuration, std::move(clear), text, file, names);
}

Result<void> apply_rules(Configuration& configuration, const std::string& text,
                         const std::string& file, const Names& names) {
  return apply(configuration, {}, text, file, names);
}

}  // namespace shunt::ipvs
