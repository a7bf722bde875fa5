// Sessions of running workers, asked for by order and report (share/board.h).
//
// Control never waits for a worker: it sleeps, or is stuck. One that does not answer for
// kPatience is left out of the listing. Owner: shuntd; it outlives its readers.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "control/session_reader.h"
#include "share/board.h"

namespace shunt::control {

class SessionDumps {
 public:
  static constexpr auto kPatience = std::chrono::seconds(2);

  /// `warn` is told of workers that do not answer.
  SessionDumps(share::Board& board, std::function<void(const std::string&)> warn)
      : x_board(board), x_warn(std::move(warn)) {}

  std::unique_ptr<SessionReader> begin();
  /// Orders that no worker has answered yet, those that nobody waits for any more included.
  size_t unanswered() const { return x_asked.size(); }

 private:
  class Reader;
  struct Asked {
    std::unique_ptr<share::SessionDump> dump;  ///< the worker's until it is back
    bool is_back = false;
    bool is_wanted = true;
  };

  /// Takes what a worker has sent back.
  void collect(share::WorkerDesk& desk);

  share::Board& x_board;
  const std::function<void(const std::string&)> x_warn;
  std::map<const share::SessionDump*, Asked> x_asked;
};

}  // namespace shunt::control
