// A netlink socket of libmnl's with an owner: opens, asks, dumps, drains.
//
// Invariant: every system call is retried on EINTR (net_tap delivers real-time signals to whichever
// thread it likes). Called by Mirror and Twin; nothing here knows what a route is.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace shunt::control {

class Netlink {
 public:
  using OnMessage = std::function<void(const nlmsghdr&)>;
  enum class Drained { kAll, kOverrun };

  /// An rtnetlink socket (rtnetlink(7)) that listens to `groups` (RTNLGRP_…), none for questions.
  static Result<Netlink> open(const std::vector<int>& groups);
  Netlink(Netlink&& other) noexcept;
  Netlink& operator=(Netlink&& other) noexcept;
  ~Netlink();

  int fd() const;

  /// Sends `request` (NLM_F_REQUEST is added) and hands every part of the answer to `on_message`
  /// until the kernel ends it. The error's sentence begins with `what`, such as "dump of the IPv4
  /// routes". Blocks until answered; on a socket without groups only. False: the table changed
  /// while it was dumped (NLM_F_DUMP_INTR), so that something may be missing: ask again.
  Result<bool> ask(nlmsghdr* request, const char* what, const OnMessage& on_message);

  /// Sends and does not wait; an answer, if any, is an NLMSG_ERROR in a later drain().
  Result<void> send(nlmsghdr* request, const char* what);

  /// Hands over every message that has arrived. kOverrun: the kernel had to drop some (ENOBUFS);
  /// the socket is empty now, and what it told before is worth nothing.
  Drained drain(const OnMessage& on_message);

 private:
  explicit Netlink(mnl_socket* socket) : x_socket(socket) {}
  mnl_socket* x_socket = nullptr;
  uint32_t x_sequence = 0;
};

}  // namespace shunt::control
