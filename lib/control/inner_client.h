// A client within the process: a program that asks the executor and prints what comes back, on a
// thread of its own. Its requests are answered on the loop in slices, as those of the socket are.
//
// Invariant: the program touches nothing of the daemon's but by its requests. Owner: Console.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "control/executor.h"
#include "ipvs/ipvsadm.h"

struct sd_event;
struct sd_event_source;

namespace shunt::control {

class InnerClient {
 public:
  using Program = std::function<void(const ipvs::Exchange& exchange)>;

  /// Starts the program. `done` is called on the loop when it is over, and may destroy this.
  static Result<std::unique_ptr<InnerClient>> start(sd_event* loop, Executor& executor,
                                                    Program program, std::function<void()> done);
  /// Ends a request that is under way with an error, and waits for the program.
  ~InnerClient();
  InnerClient(const InnerClient&) = delete;
  InnerClient& operator=(const InnerClient&) = delete;

 private:
  InnerClient(Executor& executor, Program program, std::function<void()> done);
  void run();
  Result<ipvs::Reply> exchange(const ipvs::Request& request);
  void turn();

  Executor& x_executor;
  const Program x_program;
  const std::function<void()> x_done;
  int x_wake = -1;  ///< an eventfd, readable while the loop has something to do
  sd_event_source* x_source = nullptr;
  std::unique_ptr<Answer> x_answer;  ///< of the loop: while it is not done
  std::string x_text;                ///< of the loop: the answer so far

  std::mutex x_mutex;
  std::condition_variable x_answered;
  std::optional<std::string> x_request, x_reply;  ///< lines of the protocol
  bool x_is_over = false;                         ///< the program
  bool x_ends = false;                            ///< the daemon does
  std::thread x_thread;
};

}  // namespace shunt::control
