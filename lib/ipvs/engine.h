// What the engine behind the language can do: by now all that the language can say, except what
// the executor refuses (--start-daemon).
//
// The parser knows all of ipvsadm; a command that asks for what an engine has not is refused with
// "not built yet: OPTION", status 255, and changes nothing.
#pragma once

#include <string_view>

#include "base/result.h"
#include "ipvs/command.h"
#include "ipvs/scheduler.h"

namespace shunt::ipvs {

struct Engine {
  /// Refuses a command that asks for what is not built.
  Result<void> (*check)(const Command& command);
  /// Null if there is none of that name.
  const Scheduler* (*find_scheduler)(std::string_view name);
};

/// Shunt's own.
extern const Engine kEngine;

}  // namespace shunt::ipvs
