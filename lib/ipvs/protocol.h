// What client and daemon say to each other on the control socket: one JSON object a line each way,
// a request, its reply, as often as the client likes.
//
//   {"commands": [["-A", "-t", "10.0.0.1:80", "-s", "rr"]]}          ->  {"errors": []}
//   {"commands": [["-L"]]}                                           ->  {"services": [...], ...}
//
// Commands are words of ipvsadm without names of hosts or ports (to_arguments()). Whatever arrives
// is decoded or answered with a sentence, never trusted. Counts of services and servers that are
// zero are left out. Callers: Executor, run_ipvsadm().
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ipvs/knobs.h"
#include "ipvs/listing.h"
#include "ipvs/service_table.h"
#include "ipvs/session_record.h"

namespace shunt::ipvs {

/// Longest line of a client's, in bytes.
inline constexpr size_t kMaxRequest = 16u << 20;
/// Most commands of a request: a rules file that fills all room has no more.
inline constexpr size_t kMaxCommands = kMaxServices + kMaxServers;
/// Most words of a command, and bytes of a word.
inline constexpr size_t kMaxWords = 64, kMaxWord = 4096;
/// Most sessions of one reply; the next come with its cursor.
inline constexpr size_t kSessionsPerReply = 10'000;

struct Request {
  std::vector<std::vector<std::string>> commands;
  bool atomic = false;  ///< all commands or none
  uint64_t cursor = 0;  ///< of -L -c: 0, or Reply::cursor of the reply before
};

/// A command that was refused.
struct CommandError {
  size_t index = 0;  ///< in Request::commands
  int status = 0;    ///< ipvsadm's exit status
  std::string message;
};

struct Reply {
  std::vector<CommandError> errors;
  std::optional<Listing> services;
  std::optional<std::vector<SessionRecord>> sessions;
  std::optional<uint64_t> cursor;  ///< there are more sessions
  std::optional<Timeouts> timeouts;
  std::optional<Knobs> knobs;
  bool no_daemon = false;            ///< asked for synchronization daemons, there is none
  std::optional<uint64_t> revision;  ///< of the rules, with services
  std::optional<uint64_t> on_disk;   ///< the last revision that would survive a crash
};

/// One line without its newline. A decoding error says what is wrong with the line.
std::string encode(const Request& request);
std::string encode(const Reply& reply);
Result<Request> decode_request(std::string_view line);
Result<Reply> decode_reply(std::string_view line);

/// --json: {"services": [...], "servers": [...]}, flat objects each.
/// With the revisions of `reply`, if there are any.
std::string services_json(const Listing& listing, const Reply& reply = {});
/// The flat objects of an array of sessions, joined by commas.
std::string sessions_json(const std::vector<SessionRecord>& sessions);
std::string timeouts_json(const Timeouts& timeouts);
/// Of all knobs, or of one.
std::string knobs_json(const Knobs& knobs, std::optional<Knob> knob);

}  // namespace shunt::ipvs
