// The supervisor of a program that makes its system calls itself. It is a process of its own beside
// the program, which keeps the process that shunt-exec was started as: its parent, terminal,
// streams, signals and exit status are the program's, and it has no child that it does not know of.
//
// A seccomp filter (filter.h) lets the program's calls about generic-netlink sockets and files wait
// for the supervisor, which answers them (socket_calls.h, file_calls.h). It ends when the last
// process behind the filter has ended; no signal ends it before but SIGKILL, after which the kernel
// answers such calls with ENOSYS.
#pragma once

#include "base/result.h"

namespace shunt::exec {

/// Starts a supervisor and puts the filter before this process, which then executes the program.
/// The daemon's socket is named in the environment (compat/wire.h).
Result<void> start_supervisor();

}  // namespace shunt::exec
