// The file of a program that is named as a shell's command.
#pragma once

#include <string>

namespace shunt::exec {

/// Where a program is, as execvp() finds it; empty: nowhere.
std::string find_program(const std::string& name);

}  // namespace shunt::exec
