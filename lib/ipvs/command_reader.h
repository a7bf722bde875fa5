// Reads one command option by option, as popt finds them, and judges it when all is read: ipvsadm's
// grammar without its letters' spelling, which is parse_command()'s. Mistakes are answered with
// ipvsadm's own sentences, in ipvsadm's order. Caller: parse_command().
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipvs/command.h"

namespace shunt::ipvs {

/// ipvsadm's exit status when popt does not understand the command line, or no verb comes first.
inline constexpr int kPoptStatus = 255;
/// What is said when no verb comes first.
Error hint(const std::string& program);

/// What popt returns for options without a letter.
enum LongOption {
  kSet = 1000,
  kStartDaemonLong,
  kStopDaemonLong,
  kSctpService,
  kMcastInterfaceLong,
  kSyncIdLong,
  kTimeoutLong,
  kDaemonLong,
  kStatsLong,
  kRateLong,
  kThresholdsLong,
  kPersistentConnLong,
  kNoSortLong,
  kSortLong,
  kEngineLong,
  kMcastGroupLong,
  kMcastPortLong,
  kMcastTtlLong,
  kSyncMaxlenLong,
  kTunInfoLong,
  kTunTypeLong,
  kTunPortLong,
  kTunNocsumLong,
  kTunCsumLong,
  kTunRemcsumLong,
  kJsonLong,
  kAtomicLong,
  kSysctlLong,
};

/// One command being read; each method takes one step of it.
class CommandReader {
 public:
  /// Both must outlive the reader.
  CommandReader(const std::string& program, const Names& names)
      : x_program(program), x_names(names) {
    x_command.service.scheduler.clear();
  }

  /// The first option is the verb.
  Result<void> read_verb(int option, const std::string& word);
  /// Any later option; `as_written` is how it stood on the command line.
  Result<void> read_option(int option, const std::optional<std::string>& argument,
                           const std::string& as_written);
  /// The words that are no options.
  Result<void> read_rest(const std::vector<std::string>& words);
  /// What can only be judged when all is read.
  Result<Command> finish();

  const Command& command() const { return x_command; }

 private:
  Result<void> set(Verb verb);
  Result<void> give(Option option);
  template <class T>
  Result<void> read_number(Option option, const std::string& word, long least, long most, T& to,
                           const char* what);
  Result<void> read_seconds(const std::string& word, long least, uint32_t& to);
  Result<void> read_service(uint8_t protocol, const std::string& word);
  Result<void> read_fwmark(const std::string& word);
  Result<void> read_netmask(const std::string& word);
  Result<void> read_server(const std::string& word);
  Result<void> read_group(const std::string& word);
  Result<void> read_knob(const std::string& word);
  Result<void> finish_service();
  Result<void> finish_server();
  /// Which options belong to which tunnel type.
  Result<void> finish_tunnel();
  Result<void> finish_list();

  const std::string& x_program;
  const Names& x_names;
  Command x_command;
  std::string x_sched_flags;
};

}  // namespace shunt::ipvs
