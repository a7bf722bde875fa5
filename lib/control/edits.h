// Answers to requests that change something: line by line, or all or none. Maker: Executor.
#pragma once

#include <memory>
#include <vector>

#include "control/answer.h"
#include "control/executor.h"
#include "control/slice.h"
#include "ipvs/packed_commands.h"
#include "ipvs/reply_writer.h"

namespace shunt::control {

class Change;

/// Carries out one command after the other and goes on after a refusal. Between slices others'
/// requests are carried out, and workers hear of what was done so far.
class EditAnswer : public Answer {
 public:
  EditAnswer(Executor& executor, ipvs::PackedCommands commands);
  ~EditAnswer() override;
  Progress work(std::string& to) override;
  bool edits() const override { return true; }
  size_t memory() const override;

 private:
  void step(std::string& to);
  void carry_out(const ipvs::Command& command, std::string& to);
  void add_run(std::string& to);
  void error(size_t index, const Error& error, std::string& to);

  Executor& x_executor;
  const ipvs::PackedCommands x_commands;
  ipvs::ReplyWriter x_writer;
  bool x_begun = false;
  size_t x_at = 0;                   ///< the next command
  std::vector<ipvs::Command> x_run;  ///< additions to one service, those before x_at
  /// The command before x_at, if it is about everything.
  std::optional<ipvs::PackedCommands> x_whole;
  std::shared_ptr<Change> x_change;  ///< what it does
};

class AtomicAnswer : public Answer {
 public:
  AtomicAnswer(Executor& executor, ipvs::PackedCommands commands);
  ~AtomicAnswer() override;
  Progress work(std::string& to) override;
  bool edits() const override { return true; }
  size_t memory() const override;

 private:
  Executor& x_executor;
  const ipvs::PackedCommands x_commands;
  std::shared_ptr<Change> x_change;
};

}  // namespace shunt::control
