// Carries out requests: the one place where commands meet the configuration and the running
// workers.
//
// It knows the workers only as the functions of Runtime, so it runs without DPDK. Requests are
// answered in slices (answer.h); one with "atomic" is a Change, while which others' edits wait and
// their listings show what was before. Owner: the control thread. Callers: Requests, Console,
// shuntd at start and reload.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/accounts.h"
#include "control/answer.h"
#include "control/session_reader.h"
#include "ipvs/configuration.h"
#include "ipvs/protocol.h"
#include "ipvs/request_reader.h"
#include "ipvs/rule_set.h"

namespace shunt::control {

/// What the executor asks of the running appliance.
struct Runtime {
  /// What the workers have counted for this server id.
  Accounts::Read server;
  SessionSource sessions;
  /// The configuration has changed: workers shall use this.
  std::function<void(std::shared_ptr<const ipvs::ServiceTable>, const ipvs::Timeouts&)> publish;
};

class Change;
class Journal;

class Executor {
 public:
  Executor(ipvs::Configuration& configuration, Runtime runtime);
  ~Executor();

  /// Begins to answer a request. The answer must not outlive the executor.
  std::unique_ptr<Answer> begin(ipvs::PackedRequest request);
  /// The answer to what was no request.
  static std::unique_ptr<Answer> refuse(const Error& error);

  /// At once, whoever waits: the console's, and those of tests and replays.
  ipvs::Reply execute(const ipvs::Request& request);
  /// One command that edits (Configuration::is_edit), and is in force when this returns; a change
  /// under way is finished first.
  Result<void> carry_out(const ipvs::Command& command);
  /// A line of the control socket, and its answer, both without newline; at once.
  std::string answer(std::string_view line);

  /// Makes the rules file's text the whole configuration, or changes nothing (rules.h).
  Result<void> load_rules(const std::string& text, const std::string& file,
                          const ipvs::Names& names);
  /// Makes these rules the whole configuration, or changes nothing.
  Result<void> load(const ipvs::RuleSet& rules);
  /// Carries out the text's lines on top of what is configured, or changes nothing (rules.h).
  Result<void> apply_rules(const std::string& text, const std::string& file,
                           const ipvs::Names& names);

  /// From now on what is accepted goes to this journal, too (null: to none). What is configured is
  /// `revision`; `base` are the knobs that the next start has without it.
  void set_journal(Journal* journal, uint64_t revision, const ipvs::Knobs& base);
  /// How often the rules were changed, starts before this one included if there is a journal.
  uint64_t revision() const { return x_revision; }
  /// May it be said that the changes up to this revision were accepted?
  bool is_kept(uint64_t revision) const;
  const Journal* journal() const { return x_journal; }
  /// All rules; nothing in the middle of a change.
  std::optional<ipvs::RuleSet> rules() const;

  /// What is to be done every Estimator::kPeriod seconds: begin_tick(), and then, every few
  /// milliseconds, a slice of it; or all at once.
  void begin_tick();
  void continue_tick();
  void tick();

  const ipvs::Configuration& configuration() const { return x_configuration; }
  const ipvs::Knobs& knobs() const { return x_configuration.knobs(); }

  // For answers.

  ipvs::Configuration& configuration() { return x_configuration; }
  const Accounts& accounts() const { return x_accounts; }
  const Runtime& runtime() const { return x_runtime; }
  /// Carries out one command that edits, and books it.
  Result<void> apply(const ipvs::Command& command);
  /// Carries out additions to one service, and books them; what each came to.
  std::vector<Result<void>> add_servers(const std::vector<ipvs::Command>& commands);
  /// Tells the workers what has changed since it last did.
  void publish();
  /// Begins the one change there may be; null while there is another, or it is not finished. It is
  /// over when the caller drops it.
  std::shared_ptr<Change> begin_change(const ipvs::PackedCommands& commands);
  bool is_changing() const { return !x_change.expired(); }

 private:
  /// Notes a command that was carried out for the journal.
  void note(const ipvs::Command& command);
  /// What was noted becomes a revision.
  void keep();
  /// Books what a successful edit has changed.
  void book(const ipvs::Command& command);
  /// Books and publishes whatever a rules file has made of the configuration.
  void settle();
  void finish_change();

  ipvs::Configuration& x_configuration;
  Runtime x_runtime;
  Accounts x_accounts;
  bool x_changed = false;  ///< since the last publish()
  Journal* x_journal = nullptr;
  uint64_t x_revision = 0;
  ipvs::Knobs x_base;       ///< see set_journal()
  std::string x_record;     ///< lines since x_revision
  bool x_replaced = false;  ///< since x_revision all rules became others
  std::weak_ptr<Change> x_change;
};

}  // namespace shunt::control
