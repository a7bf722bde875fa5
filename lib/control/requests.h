// The requests of one client of the control socket, read as they arrive and answered by the
// executor.
#pragma once

#include <memory>
#include <string>

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
    Progress progress = x_answer->work(to);
    if (progress != Progress::kDone) return progress;
    to += '\n';
    x_answer.reset();
    return progress;
  }
  bool edits() const override { return x_answer && x_answer->edits(); }
  size_t memory() const override { return x_reader.memory() + (x_answer ? x_answer->memory() : 0); }
  std::string farewell(const std::string& sentence) const override {
    return encode(ipvs::Reply{{{0, 2, sentence}}, {}, {}, {}, {}, {}, false}) + "\n";
  }

 private:
  Executor& x_executor;
  ipvs::RequestReader x_reader;
  std::unique_ptr<Answer> x_answer;  ///< while it is not done
};

}  // namespace shunt::control
