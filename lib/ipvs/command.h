// A command of the ipvsadm language, parsed: what to do, to what, with which options.
//
// parse_command() knows the whole grammar of ipvsadm 1.31 and answers a mistake with ipvsadm's own
// sentence and exit status; what the engine cannot do yet is refused elsewhere (engine.h). Callers:
// the client (which resolves names and sends to_arguments()), the daemon, the rules file.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipvs/knobs.h"
#include "ipvs/names.h"
#include "ipvs/options.h"
#include "ipvs/service.h"

namespace shunt::ipvs {

/// The connection synchronization daemon of --start-daemon and --stop-daemon.
struct SyncDaemonConfig {
  bool master = true;  ///< else backup
  std::string interface;
  int32_t syncid = 0;
  int32_t maxlen = 0;  ///< bytes; 0: the default
  Address group;       ///< unspecified: the default
  uint16_t port = 0;   ///< 0: the default
  uint8_t ttl = 0;     ///< 0: the default
  friend bool operator==(const SyncDaemonConfig&, const SyncDaemonConfig&) = default;
};

struct Command {
  Verb verb = Verb::kList;
  OptionSet given;
  ServiceConfig service;               ///< its key is meaningful if Option::kService was given
  ServerConfig server;                 ///< meaningful if Option::kServer was given
  std::array<uint32_t, 3> timeouts{};  ///< --set: tcp, tcpfin, udp in seconds; 0 keeps
  SyncDaemonConfig daemon;
  std::optional<Knob> knob;  ///< --sysctl; none: all are to be shown
  int32_t knob_value = 0;    ///< of kSetKnob
  bool has(Option option) const { return given.has(option); }
  friend bool operator==(const Command&, const Command&) = default;
};

/// Parses the words after the program's name. No words: list. `program` is the name in messages.
/// Errors: the text for standard error (without the last newline) and the exit status, 2 or 255.
/// See goes_on().
Result<Command> parse_command(const std::vector<std::string>& arguments, const std::string& program,
                              const Names& names);

/// The words of a line of a rules file: split at white space, without a leading program name.
/// There are no quotes and no comments, as in ipvsadm's.
std::vector<std::string> split_line(const std::string& line, const std::string& program);

/// Does `ipvsadm -R` go on with the next line after this error of parse_command()? It does after
/// popt's complaints ("-t: missing argument"), it ends after all others.
bool goes_on(const Error& error);

/// The same command in words without names: parse_command(to_arguments(c)) == c.
std::vector<std::string> to_arguments(const Command& command);

/// "-t 10.0.0.1:80", "-f 5 -6": how a key is written, without names.
std::vector<std::string> to_arguments(const ServiceKey& key);

/// What -h prints, and its first line, which -v prints.
std::string usage_text(const std::string& program);
std::string version_text(const std::string& program);

}  // namespace shunt::ipvs
