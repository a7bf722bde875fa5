// Copies of the files of /proc about IPVS in a directory, for programs that read them elsewhere
// than in /proc, such as a node_exporter of its own with --path.procfs: net/ip_vs, net/ip_vs_stats
// and net/ip_vs_stats_percpu. Readable by everyone, as in /proc.
//
// A round makes all files anew, a few milliseconds in a turn of the control loop; each replaces its
// predecessor at once (rename), so that a reader sees a whole one. A reader that has it open keeps
// it. The list of connections is not among them: it may have millions of lines. Owner: the control
// thread. Caller: shuntd.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "compat/proc_files.h"
#include "control/descriptor.h"
#include "control/executor.h"

struct sd_event;
struct sd_event_source;

namespace shunt::compat {

class ProcDirectory {
 public:
  using Complain = std::function<void(const std::string&)>;

  /// Makes the directory, below one that exists. `complain` hears of files that cannot be written,
  /// once until they can be.
  static Result<std::unique_ptr<ProcDirectory>> open(sd_event* loop, const std::string& directory,
                                                     control::Executor& executor,
                                                     Complain complain);
  /// Removes files and directory.
  ~ProcDirectory();
  ProcDirectory(const ProcDirectory&) = delete;
  ProcDirectory& operator=(const ProcDirectory&) = delete;

  /// Begins a round, unless one is on its way.
  void begin_round();

 private:
  ProcDirectory(std::string directory, control::Executor& executor, Complain complain);
  Result<void> make();
  void work();
  void begin_file();
  /// Writes a piece of the file; kLater: there is none in this turn.
  enum class Step { kMore, kLater, kComplete };
  Step write_piece();
  void end_file();

  const std::string x_directory;
  ProcFiles x_proc_files;
  const Complain x_complain;
  control::Descriptor x_net;    ///< its subdirectory "net"
  control::Descriptor x_ready;  ///< an eventfd, watched during a round
  sd_event_source* x_source = nullptr;
  size_t x_file = 0;          ///< the one on its way; behind the last one: none
  control::Descriptor x_new;  ///< what there is of it
  int x_error = 0;            ///< why it cannot be written
  bool x_has_complained = false;
};

/// Where the directory is if the control socket is at `control`: "proc" beside it.
std::string proc_directory_beside(const std::string& control);

}  // namespace shunt::compat
