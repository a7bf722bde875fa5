// A request while it is answered: a slice of the work in each turn of the control loop, so that
// nobody waits for anybody else's request. Made by Executor; held by Requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace shunt::control {

enum class Progress : uint8_t {
  kMore,    ///< work() is to be called again
  kWaits,   ///< so it is, but until another request is done it does nothing
  kSleeps,  ///< so it is, once the disk has what was changed
  kDone
};

class Answer {
 public:
  virtual ~Answer() = default;
  /// Does one slice of the work and appends to the reply's line; kDone: the line is complete,
  /// without its newline.
  virtual Progress work(std::string& to) = 0;
  /// Does it change anything? Then it is carried out also for a client that went away.
  virtual bool edits() const = 0;
  /// Bytes of memory that it holds.
  virtual size_t memory() const = 0;
};

}  // namespace shunt::control
