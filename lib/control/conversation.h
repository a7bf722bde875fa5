// What a client of the control socket says and hears, apart from the socket. Held by Server, which
// makes one for each client; Requests is the daemon's.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/answer.h"

namespace shunt::control {

class Conversation {
 public:
  virtual ~Conversation() = default;
  /// Bytes of a line, without its newline.
  virtual void hear(std::string_view bytes) = 0;
  /// The line is over: work() is to be called until the answer is done.
  virtual void end_line() = 0;
  /// One slice of the work on the answer, appended to `to`, which ends with a newline when it is
  /// done.
  virtual Progress work(std::string& to) = 0;
  /// Is the answer worth the work if nobody hears it?
  virtual bool edits() const = 0;
  /// Bytes of memory that it holds.
  virtual size_t memory() const = 0;
  /// A line that says why the client is turned away, its newline included.
  virtual std::string farewell(const std::string& sentence) const = 0;
};

using NewConversation = std::function<std::unique_ptr<Conversation>()>;

}  // namespace shunt::control
