// The netlink messages that shunt-exec reads and writes itself: which requests are for the family
// "IPVS", and the answers to those that the daemon does not hear. No allocation.
#pragma once

#include <linux/netlink.h>

#include <cstddef>

namespace shunt::exec {

/// Is the request one of the family "IPVS", or the question for that family's number?
bool is_for_ipvs(const char* message, size_t size);

/// Is this the last message of the answer to `request`?
bool is_last_answer(const nlmsghdr& answer, const nlmsghdr& request);

/// A message made here.
struct Answer {
  alignas(nlmsghdr) char bytes[64];
  size_t size;
};

/// NLMSG_ERROR about `request`; an acknowledgement if `error` is 0.
Answer error_answer(const nlmsghdr& request, int error);

/// At most two messages.
struct Answers {
  Answer all[2];
  size_t count;
};

/// The answer to a request that cannot be handed to the daemon, whose socket could not be reached
/// for the reason `error`.
Answers answers_without_daemon(const nlmsghdr& request, int error);

/// Does this error of a connection to the daemon mean that the daemon has gone?
bool is_lost(int error);

}  // namespace shunt::exec
