// What kind of program a file is: whether a preloaded library comes between it and the kernel.
#pragma once

#include <string>

namespace shunt::exec {

enum class Linking {
  kDynamic,   ///< calls the C library, so that a preloaded one is called instead; or a script
  kRawCalls,  ///< linked statically, or written in Go: makes its system calls itself
  kForeign,   ///< of another kind of machine than this one, or a damaged file
};

Linking linking_of(const std::string& file);

/// Where a program is, as execvp() finds it; empty: nowhere.
std::string find_program(const std::string& name);

}  // namespace shunt::exec
