// The seccomp filter before a supervised program: which of its system calls wait for the supervisor
// (supervisor.h). All others are the kernel's at once.
//
// A filter sees numbers only, so that generic-netlink sockets are told by theirs: the supervisor
// gives them numbers of a range that programs seldom reach.
#pragma once

#include <string>

#include "base/result.h"

namespace shunt::exec {

/// The numbers of generic-netlink sockets. A process has at most as many of them.
struct SocketNumbers {
  static constexpr int kCount = 64;
  int first = 0;

  bool contains(int fd) const { return fd >= first && fd < first + kCount; }
};

/// Below the limit for descriptors of this process, and below what select() takes; an error if the
/// limit is too low.
Result<SocketNumbers> choose_socket_numbers();

/// Puts the filter before this thread, and returns the descriptor by which the supervisor hears of
/// its calls. Without CAP_SYS_ADMIN the thread gives up gaining privileges by execve
/// (no_new_privs).
Result<int> install_filter(const SocketNumbers& numbers);

}  // namespace shunt::exec
