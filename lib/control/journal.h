// The journal of rules: what was accepted is on disk before its client hears of it, and is there
// again after a crash.
//
// Writing is the work of a thread of its own, so that a slow disk delays the answers to those who
// change rules and nothing else. Records that arrive while it writes go to the disk together. An
// answer waits until is_kept(); a disk that fails, or takes longer than kPatience, holds up nobody:
// changes are in force without it, the log says so, and all rules are written when it is possible
// again. The thread knows the rules as a RuleSet, from which the file is begun anew (JournalFile::
// replace) when it has become long. Owner: the control thread, which alone calls it. Caller:
// Executor; shuntd begins and ends it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "control/journal_file.h"
#include "control/journal_text.h"
#include "ipvs/rule_set.h"

namespace shunt::control {

class Journal {
 public:
  /// How long an answer waits for the disk; the time between attempts while it fails; and what
  /// end() waits, since SIGTERM ends shuntd within a second.
  static constexpr std::chrono::milliseconds kPatience{2000}, kRetry{1000}, kFarewell{500};
  /// Bytes beyond twice what the rules take after which the file is begun anew.
  static constexpr size_t kSlack = 1u << 20;
  /// Bytes that wait for the disk; when there are more, they are given up for a copy of all rules.
  static constexpr size_t kMostQueued = 64u << 20;

  struct Calls {
    std::function<void(const std::string&)> warn, tell;  ///< lines for the log
    /// What is configured now; nothing if that cannot be said at the moment.
    std::function<std::optional<ipvs::RuleSet>()> all;
    /// More is kept than before, or nobody has to wait any more.
    std::function<void()> news;
  };

  explicit Journal(JournalFile file);
  /// ns since 1970, by the clock that dates files.
  static int64_t now();
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Starts the thread, and makes these rules the whole file.
  void begin(ipvs::RuleSet rules, const JournalPoint& point, Calls calls);
  /// Lines that were carried out, each with its newline, and that made this revision: the next one.
  void append(std::string lines, uint64_t revision);
  /// The same for lines that stand for all rules (RuleSet::lines()).
  void replace(std::string lines, uint64_t revision);

  /// May it be said that this revision was accepted?
  bool is_kept(uint64_t revision) const;
  /// Is it on disk?
  bool is_on_disk(uint64_t revision) const;
  /// Waits until is_kept(), or the disk has taken too long: at start only.
  void wait_until_kept(uint64_t revision);
  const std::string& path() const;
  size_t size() const;       ///< bytes of the file
  uint64_t on_disk() const;  ///< the last revision that is there
  /// What is wrong, a sentence; or empty.
  std::string trouble() const;

  /// Readable when take_news() has something to do.
  int fd() const;
  void take_news();
  /// To be called ten times a second: notices a disk that takes too long.
  void look();

  /// Writes what waits and, after an orderly stop, says so in the file; ends the thread. A disk
  /// that does not answer is left alone.
  void end(bool is_orderly);

 private:
  struct Work;  ///< what the thread has its hands on
  using Clock = std::chrono::steady_clock;
  void submit(std::string lines, uint64_t revision, bool is_whole);
  void copy_all();

  std::shared_ptr<Work> x_work;
  std::thread x_thread;
  Calls x_calls;
  JournalPoint x_point;   ///< of the last submission
  uint64_t x_oldest = 0;  ///< a revision that waited at x_since
  Clock::time_point x_since;
  bool x_is_late = false;    ///< the disk took longer than kPatience
  bool x_needs_all = false;  ///< what is queued does not lead to what is configured
  std::string x_failure;     ///< as far as it was logged
};

}  // namespace shunt::control
