// What the daemon and the library in front of a program (app/shunt-exec) have to agree on. Nothing
// but constants, since that library may include nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt::compat {

/// The number of the family "IPVS". The kernel gives numbers from 16 on, in turn, up to 1023
/// (GENL_MAX_ID).
inline constexpr uint16_t kFamilyId = 1023;
/// Type of messages about files of /proc (proc_files.h): above all families.
inline constexpr uint16_t kProcFile = 1024;
/// Longest request in bytes; the longest that is of use has less than 300.
inline constexpr size_t kMostRequest = 16 * 1024;
/// Where the daemon listens, in a program's environment.
inline constexpr const char* kSocketVariable = "SHUNT_IPVS_SOCKET";
/// Where shunt-exec is, likewise, for programs that it has to execute for others.
inline constexpr const char* kProgramVariable = "SHUNT_EXEC";

}  // namespace shunt::compat
