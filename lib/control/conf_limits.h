// The limits of what a conf file asks for (share/bounds.h), each refused in a sentence that names
// it. Called by parse_conf(), so that `--check` says the same as a start.
#pragma once

#include <string>

#include "base/result.h"
#include "control/conf.h"

namespace shunt::control {

/// `workers = N`. Error: no number, or more than share::kMaxWorkers.
Result<unsigned> read_workers(const std::string& text);
/// `workers = auto`: the CPUs this process may run on, less control's.
unsigned automatic_workers();

/// Are there few enough ports, twins and members of bonds? They are devices of DPDK together.
Result<void> check_devices(const Conf& conf);
/// Is there enough for every worker of what they divide among each other?
Result<void> check_shares(const Conf& conf);

}  // namespace shunt::control
