// The kernel's refusals of a command: its error number and the sentence that ipvsadm prints for it.
//
// One table for both directions: Configuration refuses with the sentence, and whoever speaks the
// kernel's own interface (lib/compat) answers with the number. Sources: ip_vs_ctl.c of Linux 6.1
// and ipvs_strerror() of ipvsadm 1.31.
#pragma once

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace shunt::ipvs {

enum class Refusal {
  kServiceExists,
  kNoService,          ///< a command about a service
  kServiceNotDefined,  ///< a command about a server of a service
  kServerExists,
  kNoServer,
  kNoScheduler,  ///< or no persistence engine
  kOutOfRange,   ///< a weight or a threshold
  kInvalid,      ///< an address that is not unicast, or an attribute that is missing
};

struct RefusalRow {
  int error;  ///< errno(3)
  std::string_view sentence;
};

/// In the order of Refusal.
inline constexpr std::array<RefusalRow, 8> kRefusals = {{
    {EEXIST, "Service already exists"},
    {ESRCH, "No such service"},
    {ESRCH, "Service not defined"},
    {EEXIST, "Destination already exists"},
    {ENOENT, "No such destination"},
    {ENOENT, "Scheduler or persistence engine not found"},
    {ERANGE, "Numerical result out of range"},
    {EINVAL, "Invalid operation.  Possibly wrong module version, address not unicast, ..."},
}};

/// ipvsadm's exit status for whatever the kernel refuses.
inline constexpr int kRefusedStatus = 255;

inline Error refusal(Refusal why) {
  return {std::string(kRefusals[static_cast<size_t>(why)].sentence), kRefusedStatus};
}

/// A refusal that the kernel has no sentence for.
inline Error own_refusal(std::string sentence) {
  return {std::move(sentence), kRefusedStatus};
}

/// The kernel's number for an error of Configuration. One that is not in the table is about room
/// (ids, a scheduler's memory), for which the kernel says ENOMEM.
inline int error_number(const Error& error) {
  for (const RefusalRow& row : kRefusals)
    if (row.sentence == error.message) return row.error;
  return ENOMEM;
}

}  // namespace shunt::ipvs
