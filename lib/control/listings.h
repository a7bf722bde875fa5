// Answers to requests that change nothing. They are made while their client reads them, so that
// what is kept for it does not depend on how long they are. Maker: Executor.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "control/accounts.h"
#include "control/answer.h"
#include "control/executor.h"
#include "control/slice.h"
#include "ipvs/reply_writer.h"

namespace shunt::control {

/// One that was there when it was asked for: a refusal, timeouts, knobs.
class ReadyAnswer : public Answer {
 public:
  explicit ReadyAnswer(ipvs::Reply reply) : x_reply(std::move(reply)) {}
  Progress work(std::string& to) override {
    to += encode(x_reply);
    return Progress::kDone;
  }
  bool edits() const override { return false; }
  size_t memory() const override { return sizeof x_reply; }

 private:
  const ipvs::Reply x_reply;
};

/// All services or one. Each is shown with the servers that it has when its turn comes; of those
/// that come or go while the list is made, some are shown.
class ServicesAnswer : public Answer {
 public:
  ServicesAnswer(Executor& executor, const ipvs::Command& command);
  Progress work(std::string& to) override;
  bool edits() const override { return false; }
  size_t memory() const override;

 private:
  bool begin_next(std::string& to);
  void show_servers(std::string& to);

  Executor& x_executor;
  const std::optional<ipvs::ServiceKey> x_only;
  const bool x_counted;  ///< are counters shown?
  ipvs::ReplyWriter x_writer;
  bool x_begun = false;
  std::optional<ipvs::ServiceKey> x_last;         ///< the service that was begun last
  std::vector<ipvs::ConfiguredServer> x_servers;  ///< its own
  size_t x_at = 0;                                ///< the next of them
  std::optional<Accounts::Reading> x_reading;     ///< while it is not ended
};

/// A page of the workers' sessions.
class SessionsAnswer : public Answer {
 public:
  SessionsAnswer(Executor& executor, uint64_t cursor)
      : x_reader(executor.runtime().sessions.begin()), x_cursor(cursor) {}
  Progress work(std::string& to) override;
  bool edits() const override { return false; }
  size_t memory() const override { return sizeof *this; }

 private:
  const std::unique_ptr<SessionReader> x_reader;
  uint64_t x_cursor;
  ipvs::ReplyWriter x_writer;
  bool x_begun = false;
  size_t x_left = ipvs::kSessionsPerReply;
};

}  // namespace shunt::control
