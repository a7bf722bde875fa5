// Calls of a supervised program that name a file: those of IPVS in /proc are the daemon's.
#pragma once

#include "call.h"

namespace shunt::exec {

/// Is it a call that opens, or asks about, a file by its name?
bool is_file_call(const Call& call);

/// Answers it, at once or from a thread of its own while the daemon is asked for the file's text.
void answer_file_call(const Call& call);

}  // namespace shunt::exec
