// The console of shuntd -i: lines from standard input, answered at once.
//
// A terminal gets line editing and history, anything else is read as plain lines. Owner: the
// control thread. Caller: shuntd.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/executor.h"

struct sd_event;
struct sd_event_source;

namespace shunt::control {

class LineEditor;

class Console {
 public:
  struct Actions {
    std::function<std::string()> port_stats;  ///< the text of "show port stats all"
    std::function<void()> quit;               ///< "quit", or end of a terminal's input
  };

  Console(Executor& executor, Actions actions, std::ostream& out);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Carries out one line and prints its answer.
  void execute(const std::string& line);

  /// Reads `fd` on the loop from now on, with editing if it is standard input and a terminal. At
  /// the end of input that is no terminal the console ends and the daemon goes on.
  Result<void> read_from(sd_event* loop, int fd);

 private:
  void show(const std::string& what);
  void edited();
  void readable();
  void end();

  Executor& x_executor;
  Actions x_actions;
  std::ostream& x_out;
  int x_fd = -1;
  std::string x_input;
  std::unique_ptr<LineEditor> x_editor;  ///< null: plain lines
  sd_event_source* x_source = nullptr;
};

}  // namespace shunt::control
