// The console of shuntd -i: lines from standard input, answered one after the other. Commands of
// ipvsadm are an InnerClient's, so that nobody waits for a long one.
//
// A terminal gets line editing and history, anything else is read as plain lines. Owner: the
// control thread. Caller: shuntd.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/executor.h"
#include "control/inner_client.h"

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

  Console(sd_event* loop, Executor& executor, Actions actions, std::ostream& out);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  /// Carries out one line and prints its answer, now or, while is_busy(), in turns of the loop. To
  /// be called when it is not busy.
  void execute(const std::string& line);
  bool is_busy() const { return x_client != nullptr; }

  /// Goes on if it waited for the disk to have what was changed (journal.h).
  void wake();

  /// Reads `fd` on the loop from now on, with editing if it is standard input and a terminal. At
  /// the end of input that is no terminal the console ends and the daemon goes on.
  Result<void> read_from(int fd);

 private:
  void show(const std::string& what);
  /// Runs ipvsadm with these words, and prints `last` behind what it says.
  void run(std::vector<std::string> words, std::string last = {});
  void show_journal();
  void go_on();
  bool has_to_wait();
  void edited();
  void readable();
  void execute_input();
  void end();

  sd_event* const x_loop;
  Executor& x_executor;
  Actions x_actions;
  std::ostream& x_out;
  int x_fd = -1;
  std::string x_input;
  bool x_is_over = false;                ///< the input, of which x_input is the rest
  bool x_is_prompt_due = false;          ///< once the disk has the last change
  std::unique_ptr<LineEditor> x_editor;  ///< null: plain lines
  sd_event_source* x_source = nullptr;
  std::unique_ptr<InnerClient> x_client;  ///< while a command of ipvsadm is under way
};

}  // namespace shunt::control
