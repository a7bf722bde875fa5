// The rules that shuntd begins with, from the rules file or from the journal, and the journal while
// it runs.
//
// After a crash the journal counts: who made the rules (keepalived) does not make them again. After
// an orderly stop the rules file counts if it was changed later than the journal's rules were.
// Owner and caller: shuntd's main.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "control/conf.h"
#include "control/executor.h"
#include "control/journal.h"
#include "control/loop.h"

namespace shunt::daemon {

/// Is the rules file good, if there is one?
Result<void> check_rules_file(const control::Conf& conf);

class KeptRules {
 public:
  /// Holds and reads the journal, if `conf` has one, and decides; checks the rules file if that is
  /// to be loaded.
  static Result<std::unique_ptr<KeptRules>> open(const control::Conf& conf);

  /// Loads the rules, and lets the executor write the journal from now on.
  Result<void> load(control::Executor& executor);
  /// Follows the journal on the loop; `news` is called when somebody may have waited for it.
  Result<void> follow(control::Loop& loop, std::function<void()> news);
  void end(bool is_orderly);

 private:
  explicit KeptRules(const control::Conf& conf) : x_conf(conf) {}
  Result<void> read();
  Result<void> decide();
  Result<void> load_file(control::Executor& executor);

  const control::Conf& x_conf;
  std::optional<control::JournalFile> x_file;  ///< until the journal begins
  control::JournalContents x_found;
  bool x_takes_journal = false;
  int64_t x_file_time = 0;  ///< when the rules file was changed
  std::function<void()> x_news = [] {};
  std::unique_ptr<control::Journal> x_journal;  ///< null: off
};

}  // namespace shunt::daemon
