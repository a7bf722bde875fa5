// Whether a library can come between a program and the kernel. No allocation, so that the library
// itself can ask about what a program is about to execute.
#pragma once

namespace shunt::exec {

enum class Linking {
  kDynamic,   ///< calls the C library, so that a preloaded one is called instead; or a script
  kRawCalls,  ///< linked statically, or written in Go: makes its system calls itself
  kForeign,   ///< of another kind of machine than this one, or a damaged file
  kUnknown,   ///< the file cannot be read
};

Linking linking_of(const char* file);

}  // namespace shunt::exec
