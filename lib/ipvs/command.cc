#include "ipvs/command.h"

#include <popt.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "ipvs/command_reader.h"

namespace shunt::ipvs {
namespace {

#define FLAG(name, letter, value) \
  { name, letter, POPT_ARG_NONE, nullptr, value, nullptr, nullptr }
#define WORD(name, letter, value) \
  { name, letter, POPT_ARG_STRING, nullptr, value, nullptr, nullptr }
const poptOption kPoptTable[] = {
    FLAG("add-service", 'A', 'A'),
    FLAG("edit-service", 'E', 'E'),
    FLAG("delete-service", 'D', 'D'),
    FLAG("clear", 'C', 'C'),
    FLAG("list", 'L', 'L'),
    FLAG("list", 'l', 'L'),
    FLAG("zero", 'Z', 'Z'),
    FLAG("add-server", 'a', 'a'),
    FLAG("edit-server", 'e', 'e'),
    FLAG("delete-server", 'd', 'd'),
    FLAG("set", 0, kSet),
    FLAG("help", 'h', 'h'),
    FLAG("version", 'v', 'v'),
    FLAG("restore", 'R', 'R'),
    FLAG("save", 'S', 'S'),
    WORD("start-daemon", 0, kStartDaemonLong),
    WORD("stop-daemon", 0, kStopDaemonLong),
    WORD("tcp-service", 't', 't'),
    WORD("udp-service", 'u', 'u'),
    WORD("sctp-service", 0, kSctpService),
    WORD("fwmark-service", 'f', 'f'),
    WORD("scheduler", 's', 's'),
    {"persistent", 'p', POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, nullptr, 'p', nullptr, nullptr},
    WORD("netmask", 'M', 'M'),
    WORD("real-server", 'r', 'r'),
    FLAG("masquerading", 'm', 'm'),
    FLAG("ipip", 'i', 'i'),
    FLAG("gatewaying", 'g', 'g'),
    WORD("weight", 'w', 'w'),
    WORD("u-threshold", 'x', 'x'),
    WORD("l-threshold", 'y', 'y'),
    FLAG("numeric", 'n', 'n'),
    FLAG("connection", 'c', 'c'),
    WORD("mcast-interface", 0, kMcastInterfaceLong),
    WORD("syncid", 0, kSyncIdLong),
    FLAG("timeout", 0, kTimeoutLong),
    FLAG("daemon", 0, kDaemonLong),
    FLAG("stats", 0, kStatsLong),
    FLAG("rate", 0, kRateLong),
    FLAG("thresholds", 0, kThresholdsLong),
    FLAG("persistent-conn", 0, kPersistentConnLong),
    FLAG("nosort", 0, kNoSortLong),
    FLAG("sort", 0, kSortLong),
    FLAG("exact", 'X', 'X'),
    FLAG("ipv6", '6', '6'),
    FLAG("ops", 'o', 'o'),
    WORD("pe", 0, kEngineLong),
    WORD("sched-flags", 'b', 'b'),
    WORD("mcast-group", 0, kMcastGroupLong),
    WORD("mcast-port", 0, kMcastPortLong),
    WORD("mcast-ttl", 0, kMcastTtlLong),
    WORD("sync-maxlen", 0, kSyncMaxlenLong),
    FLAG("tun-info", 0, kTunInfoLong),
    WORD("tun-type", 0, kTunTypeLong),
    WORD("tun-port", 0, kTunPortLong),
    FLAG("tun-nocsum", 0, kTunNocsumLong),
    FLAG("tun-csum", 0, kTunCsumLong),
    FLAG("tun-remcsum", 0, kTunRemcsumLong),
    FLAG("json", 0, kJsonLong),
    FLAG("atomic", 0, kAtomicLong),
    {"sysctl", 0, POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, nullptr, kSysctlLong, nullptr, nullptr},
    {nullptr, 0, 0, nullptr, 0, nullptr, nullptr},
};
#undef FLAG
#undef WORD
}  // namespace

Result<Command> parse_command(const std::vector<std::string>& arguments, const std::string& program,
                              const Names& names) {
  if (arguments.empty()) return Command{};
  // popt reads C strings: what follows a NUL byte would be lost, and another command carried out.
  for (const std::string& argument : arguments)
    if (argument.find('\0') != argument.npos)
      return Error{
          "'" + std::string(argument.c_str()) + "' is followed by a NUL byte, which no word has",
          2};
  std::vector<const char*> argv{program.c_str()};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);  // popt keeps no copy but reads the terminator in places
  std::unique_ptr<poptContext_s, decltype(&poptFreeContext)> popt(
      poptGetContext(program.c_str(), static_cast<int>(argv.size()) - 1, argv.data(), kPoptTable,
                     0),
      &poptFreeContext);
  auto next_argument = [&]() -> std::optional<std::string> {
    std::unique_ptr<char, decltype(&free)> text(poptGetOptArg(popt.get()), &free);
    if (!text) return std::nullopt;
    return std::string(text.get());
  };
  auto as_written = [&] {
    const char* text = poptBadOption(popt.get(), POPT_BADOPTION_NOALIAS);
    return std::string(text ? text : "");
  };

  CommandReader reader(program, names);
  int option = poptGetNextOpt(popt.get());
  if (option < 0) return hint(program);
  if (auto read = reader.read_verb(option, next_argument().value_or("")); !read)
    return read.error();
  if (reader.command().verb == Verb::kHelp || reader.command().verb == Verb::kVersion)
    return reader.command();
  while ((option = poptGetNextOpt(popt.get())) >= 0) {
    auto argument = next_argument();
    if (auto read = reader.read_option(option, argument, as_written()); !read) return read.error();
  }
  if (option < -1) return Error{as_written() + ": " + poptStrerror(option), kPoptStatus};
  std::vector<std::string> rest;
  while (const char* word = poptGetArg(popt.get())) rest.push_back(word);
  if (auto read = reader.read_rest(rest); !read) return read.error();
  return reader.finish();
}

std::vector<std::string> split_line(const std::string& line, const std::string& program) {
  constexpr const char* kBlanks = " \t\n\v\f\r";
  std::vector<std::string> words;
  for (size_t at = 0; (at = line.find_first_not_of(kBlanks, at)) != line.npos;) {
    size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  if (!words.empty() && (words[0] == program || words[0] == "ipvsadm" || words[0] == "shuntadm"))
    words.erase(words.begin());
  return words;
}

bool goes_on(const Error& error) {
  return error.status == kPoptStatus && !error.message.starts_with("Try `");
}

}  // namespace shunt::ipvs
