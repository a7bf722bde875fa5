// Edited lines from the terminal at standard input (libedit), with history.
//
// libedit blocks inside of key sequences, also with its callback interface, so it has a thread of
// its own that does nothing else. Invariant: that thread and the owner take turns; it touches the
// terminal only between next() and the moment fd() becomes readable. Owner: Console.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>

#include "base/result.h"

namespace shunt::control {

class LineEditor {
 public:
  /// Are standard input and output a terminal that can do more than a typewriter?
  static bool is_possible();
  /// Prompts for the first line.
  static Result<std::unique_ptr<LineEditor>> start();
  /// Gives the terminal back as it was.
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// Readable when take() has something.
  int fd() const { return x_ready; }
  /// The line, or nothing at the end of input. To be followed by next() if more is wanted.
  std::optional<std::string> take();
  void next() { x_turn.release(); }

 private:
  LineEditor() = default;
  void run();

  int x_ready = -1;  ///< eventfd: a line is there
  int x_stop = -1;   ///< eventfd: the thread shall end
  std::atomic<bool> x_stopping = false;
  std::binary_semaphore x_turn{1};
  std::optional<std::string> x_line;
  std::thread x_thread;
};

}  // namespace shunt::control
