// Starting DPDK's EAL, which every thread of a program shares. Callers: the programs' main threads,
// once, before anything else of DPDK.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace shunt::share {

/// rte_eal_init() with these words, of which the first is the program's name. Errors: DPDK's
/// reason; more of it stands on standard error.
Result<void> start_eal(std::vector<std::string> words);

/// The words of a program with one thread, which stays on the CPU it is on, without devices, and
/// apart from all other DPDK programs of the machine. What memory it takes, the caller adds.
std::vector<std::string> words_of_lone_program(const std::string& name);

}  // namespace shunt::share
