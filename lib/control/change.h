// Commands carried out all or none, in slices: what a request with "atomic" is, and -C and -Z of
// everything.
//
// While a change is under way others see what was before, and make no change of their own; when it
// is done they see all of it. Owner: an Answer. Callers: EditAnswer, AtomicAnswer, Executor, which
// finishes it where something cannot wait.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/accounts.h"
#include "control/slice.h"
#include "ipvs/command.h"
#include "ipvs/configuration.h"
#include "ipvs/packed_commands.h"
#include "ipvs/protocol.h"

namespace shunt::control {

class Change {
 public:
  /// `commands` must outlive it. `publish` is called when all is committed, if
  /// workers are to hear of it, with the journal's lines of what was done.
  Change(ipvs::Configuration& configuration, Accounts& accounts,
         const ipvs::PackedCommands& commands, std::function<void(std::string record)> publish);
  /// Undoes what is not committed.
  ~Change();
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  /// True: it is done or undone.
  bool advance(Slice& slice);
  /// What was refused, if it is undone.
  const std::optional<ipvs::CommandError>& refusal() const { return x_refusal; }
  size_t memory() const { return x_notes.capacity() * sizeof(Note) + x_record.capacity(); }

 private:
  enum class Phase { kApply, kCompile, kJoin, kTable, kBook, kFree, kUndo, kDone };
  /// What a command, or several in a row, mean for the accounts.
  struct Note {
    ipvs::Verb verb;
    bool has_service;
    ipvs::ServiceKey key;
    size_t last;  ///< command
  };

  void step();
  void apply_next();
  void apply_run();
  void note(const ipvs::Command& command, size_t index);
  void record(const ipvs::Command& command);
  void compile_next();
  void join_next();
  void book_next();
  void free_next();
  void refuse(size_t index, const Error& error);

  ipvs::Configuration& x_configuration;
  Accounts& x_accounts;
  const ipvs::PackedCommands& x_commands;
  std::function<void(std::string record)> x_publish;
  Phase x_phase = Phase::kApply;
  size_t x_at = 0;                   ///< the next command, or note
  std::vector<ipvs::Command> x_run;  ///< additions to one service, those before x_at
  bool x_clearing = false;
  bool x_changed = false;  ///< not only the accounts
  std::optional<ipvs::ServiceKey> x_zeroed;
  std::vector<Note> x_notes;
  std::string x_record;  ///< lines of what was done
  std::optional<ipvs::CommandError> x_refusal;
};

}  // namespace shunt::control
