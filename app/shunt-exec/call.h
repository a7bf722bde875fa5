// A system call of a supervised program that waits for the supervisor's answer.
//
// A signal may end the wait at any time; the program then repeats the call, or hears EINTR, as with
// a call that the kernel serves. So nothing is done that cannot be done again before the answer has
// arrived: the functions that answer tell whether it has.
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstdint>

namespace shunt::exec {

class Call {
 public:
  Call(int listener, const seccomp_notif& received) : x_listener(listener), x_received(received) {}

  int number() const { return x_received.data.nr; }
  pid_t thread() const { return static_cast<pid_t>(x_received.pid); }
  uint64_t argument(unsigned i) const { return x_received.data.args[i]; }
  /// An argument of 32 bits, signed.
  int integer(unsigned i) const { return static_cast<int>(argument(i)); }
  /// Does it still wait? What was read of the program before is the caller's then, and nobody
  /// else's.
  bool is_waiting() const;

  /// The kernel serves it.
  bool leave_to_kernel() const;
  bool succeed(int64_t value) const;
  bool fail(int error) const;
  /// It returns a copy of our descriptor `fd`: the number `number`, or any if that is -1. On an
  /// error of the program's table of descriptors, such as EMFILE, it fails with that.
  bool succeed_with_descriptor(int fd, int number, bool closes_on_exec) const;

 private:
  bool respond(int64_t value, int error, uint32_t flags) const;

  int x_listener;
  seccomp_notif x_received;
};

}  // namespace shunt::exec
