// What the engine behind the language can do: the one list of what is still to be built.
//
// The parser knows all of ipvsadm; a command that asks for something of this list is refused with
// "not built yet: OPTION", status 255, and changes nothing. Building it means deleting its row.
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
