// Calls of a supervised program about generic-netlink sockets: making them, and what the Unix
// socket in their place cannot do by itself (generic_socket.h).
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "call.h"
#include "filter.h"
#include "generic_socket.h"

namespace shunt::exec {

class SocketCalls {
 public:
  explicit SocketCalls(const SocketNumbers& numbers) : x_numbers(numbers) {}

  /// Answers a call, or keeps it until there is a message for it.
  void answer(const Call& call);

  void add_to(std::vector<pollfd>& polled) const;
  /// Passes messages on after a poll; `ready` are the rows that add_to() added.
  void serve(const pollfd* ready);
  /// Do calls wait, so that serve() has to be called from time to time?
  bool has_waiting() const { return !x_waiting.empty(); }

 private:
  using Clock = std::chrono::steady_clock;
  /// A receive without a message yet.
  struct Waiting {
    Call call;
    ino_t socket;
    std::optional<Clock::time_point> end;  ///< SO_RCVTIMEO
  };
  enum class Received { kAnswered, kNothingYet };

  void make(const Call& call);
  void copy(const Call& call, int fd);
  void give_number(const Call& call, int fd, int least, bool closes_on_exec);
  void receive(const Call& call, int fd);
  Received try_to_receive(const Call& call, int fd);
  void wake_waiting();
  GenericSocket* find(int fd) const;

  const SocketNumbers x_numbers;
  std::list<std::unique_ptr<GenericSocket>> x_sockets;
  std::list<Waiting> x_waiting;
};

}  // namespace shunt::exec
