// The files that Linux has about IPVS, for programs that read them: /proc/net/ip_vs, ip_vs_conn,
// ip_vs_stats and the sysctls of /proc/sys/net/ipv4/vs, whose texts are Linux 6.1's.
//
// They are asked for on the second socket (compat/server.h) by messages of a type of our own:
// a netlink header, then the file's path, a NUL and, to write it, the text. An answer is any number
// of datagrams of text, each behind a header of that type, then NLMSG_DONE, or an NLMSG_ERROR
// alone. A long file is made piece by piece as it is read. Owner: the control thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compat/message.h"
#include "compat/wire.h"
#include "control/executor.h"

namespace shunt::compat {

/// A line of /proc/net/ip_vs_conn.
std::string connection_line(const ipvs::SessionRecord& session);

class ProcFiles {
 public:
  explicit ProcFiles(control::Executor& executor) : x_executor(executor) {}

  static bool is_request(std::string_view datagram);

  bool is_idle() const { return !x_header && !x_unwritten; }
  /// Is all that comes text for a file?
  bool is_writing() const { return !x_written.empty(); }
  /// A request, while idle; or text for a file.
  void take(std::string_view datagram);
  /// The next datagram for the program; false when there is none now. Not idle then: it waits for
  /// the disk, or is to be called again in another turn of the loop. Text for a file of
  /// is_writing() is not acknowledged.
  bool next(Datagram& datagram);
  /// Is there nothing to be done before the disk has what was written (journal.h)?
  bool waits_for_disk() const {
    return x_header && !x_unwritten && !x_executor.is_kept(x_waits_for);
  }

 private:
  /// What a file is written from, piece by piece; short ones are text from the start.
  enum class Source : uint8_t { kText, kServices, kStats, kStatsByCpu, kConnections };

  void open(std::string_view path);
  int write(std::string_view path, std::string_view text);
  /// More of the file, if there is some by now; false at its end.
  bool read_more();
  bool read_services();
  bool read_stats();
  bool read_connections();

  control::Executor& x_executor;
  std::optional<nlmsghdr> x_header;  ///< of the request that is being answered
  int x_error = 0;
  uint64_t x_waits_for = 0;  ///< the revision that the answer acknowledges
  std::string x_written;     ///< path of the file that all is text for
  /// A file's path and text for it that is to be written when no change of others' is under way.
  std::optional<std::pair<std::string, std::string>> x_unwritten;
  std::string x_text;  ///< read and not yet sent
  size_t x_sent = 0;   ///< bytes of it
  Source x_source = Source::kText;
  bool x_is_over = false;  ///< no more is to be read
  /// Of the services' file: the service that is read, its servers, and the next one of them.
  std::optional<ipvs::ServiceKey> x_service;
  std::vector<ipvs::ConfiguredServer> x_servers;
  size_t x_server = 0;
  control::Accounts::Total x_total;                  ///< of the statistics
  std::unique_ptr<control::SessionReader> x_reader;  ///< of the connections
  uint64_t x_cursor = 0;
};

}  // namespace shunt::compat
