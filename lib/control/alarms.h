// Lines in the log for what runs out: one when it begins, one when it is over.
//
// An alarm watches a counter. It begins when the counter moves, and is over when it has stood still
// for kQuiet; then it may begin again, so that a counter costs two lines in kQuiet at the most.
// Called by the control thread, once a second.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "share/board.h"

namespace shunt::control {

class Alarms {
 public:
  static constexpr uint64_t kQuiet = 10;  ///< looks

  /// `warn` and `tell` write a line: that something began, and that it is over.
  using Line = std::function<void(const std::string&)>;
  Alarms(const share::Board& board, Line warn, Line tell);

  void look();

 private:
  struct Alarm {
    std::string_view name, what;
    std::function<uint64_t()> count;
    uint64_t seen = 0;   ///< the count at the last look
    uint64_t began = 0;  ///< the count before it began
    uint64_t quiet = 0;  ///< looks since it moved
    bool is_on = false;
  };
  void look_at(Alarm& alarm);

  Line x_warn, x_tell;
  std::vector<Alarm> x_alarms;
};

}  // namespace shunt::control
