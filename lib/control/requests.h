// The requests of one client of the control socket, read as they arrive and answered by the
// executor.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "control/conversation.h"
#include "control/executor.h"
#include "ipvs/request_reader.h"

namespace shunt::control {

class Requests : public Conversation {
 public:
  explicit Requests(Executor& executor) : x_executor(executor) {}

  void hear(std::string_view bytes) override { x_reader.feed(bytes); }
  void end_line() override {
    auto request = x_reader.finish();
    x_answer = request ? x_executor.begin(std::move(*request)) : Executor::refuse(request.error());
  }
  Progress work(std::string& to) override {
    if (!x_waits_for) {
      // The last piece of an answer to an edit says that it was done.
      std::string& piece = x_answer->edits() ? x_last : to;
      const Progress progress = x_answer->work(piece);
      if (progress != Progress::kDone) {
        to += std::exchange(x_last, {});
        return progress;
      }
      x_waits_for = x_answer->edits() ? x_executor.revision() : 0;
    }
    if (!x_executor.is_kept(*x_waits_for)) return Progress::kSleeps;
    to += std::exchange(x_last, {}) + '\n';
    x_waits_for.reset();
    x_answer.reset();
    return Progress::kDone;
  }
  bool edits() const override { return x_answer && x_answer->edits(); }
  size_t memory() const override {
    return x_reader.memory() + x_last.capacity() + (x_answer ? x_answer->memory() : 0);
  }
  std::string farewell(const std::string& sentence) const override {
    return encode(ipvs::Reply{{{0, 2, sentence}}, {}, {}, {}, {}, {}, false}) + "\n";
  }

 private:
  Executor& x_executor;
  ipvs::RequestReader x_reader;
  std::unique_ptr<Answer> x_answer;     ///< while it is not done
  std::string x_last;                   ///< the last piece of an answer, not said yet
  std::optional<uint64_t> x_waits_for;  ///< a revision that is to be on disk before that is said
};

}  // namespace shunt::control
