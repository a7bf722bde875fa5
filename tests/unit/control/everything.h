// An engine for which everything is built, so that the language can be tested beyond Shunt's own.
#pragma once

#include <map>
#include <string>

#include "ipvs/engine.h"

namespace shunt::control {

/// Schedulers of every IPVS name that never pick; nothing is refused as not built.
inline const ipvs::Engine& everything() {
  static const auto find = [](std::string_view name) -> const ipvs::Scheduler* {
    static std::map<std::string, ipvs::Scheduler, std::less<>> schedulers;
    if (!ipvs::find_scheduler(name)) return nullptr;
    auto [it, added] = schedulers.try_emplace(std::string(name));
    if (added)
      it->second = {it->first, ipvs::build_no_table,
                    [](const ipvs::Service&, ipvs::SchedulerState&, const ipvs::Flow&,
                       const ipvs::Now&) { return ipvs::Pick{}; }};
    return &it->second;
  };
  static const ipvs::Engine engine = {[](const ipvs::Command&) -> Result<void> { return {}; },
                                      [](std::string_view name) { return find(name); }};
  return engine;
}

}  // namespace shunt::control
