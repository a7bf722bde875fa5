// A generic-netlink socket of a supervised program. The program has one end of a Unix socket pair
// of datagrams in its place; requests come out of the other end here. Those for the family "IPVS"
// go to the daemon, all others to a netlink socket of the kernel's, each with the rights that the
// sender has at the time; what the two answer is put into the pair. So the program's sending,
// polling and closing are system calls of its own, and the answers wait where it looks for them.
//
// A request is never left unanswered: where the daemon cannot be reached, or goes while one waits,
// an error is put in its answer's place.
#pragma once

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "credentials.h"

namespace shunt::exec {

class GenericSocket {
 public:
  /// Longest message that the kernel makes of its own accord, and more.
  static constexpr size_t kMostMessage = 64 * 1024;

  /// A socket for the program that `thread` belongs to, in its network namespace, and the program's
  /// end of it. `type` is socket()'s second argument. Null: errno tells why.
  static std::unique_ptr<GenericSocket> open(pid_t thread, int type, int& program_end);
  ~GenericSocket();
  GenericSocket(const GenericSocket&) = delete;
  GenericSocket& operator=(const GenericSocket&) = delete;

  /// Tells the program's end from other files.
  ino_t program_inode() const { return x_program_inode; }
  /// The kernel's socket, for what the program asks of it besides messages.
  int kernel() const { return x_kernel; }
  /// Binds the kernel's socket as the first message of `process` would; the address it has.
  sockaddr_nl bind(pid_t process);
  /// The address of the kernel's socket; nl_pid is 0 before it is bound.
  sockaddr_nl own_address() const;

  /// Puts a message that was taken out of the program's end before all others there again, since
  /// the receive that it was for has been interrupted.
  void put_back(int program_end, std::string message);

  /// Adds what has to be polled, always as many rows.
  static constexpr size_t kPolled = 3;
  void add_to(std::vector<pollfd>& polled) const;
  /// Passes messages on, after a poll with these results. False: the program has closed it.
  bool serve(const pollfd* ready);

 private:
  GenericSocket() = default;
  void take_requests();
  void take_request(const char* message, size_t size, const ucred& sender);
  void ask_daemon(std::string message, const Credentials& sender);
  bool connect(const Credentials& sender);
  void send_to_daemon();
  void take_answers(int from);
  void daemon_has_gone(int error);
  void put(const char* message, size_t size);
  void put_answers_without_daemon(int error);
  void put_waiting();
  std::optional<Credentials> credentials_of_sender(const ucred& sender) const;

  int x_supervisor_end = -1;
  int x_kernel = -1;
  int x_daemon = -1;  ///< -1: not connected
  ino_t x_program_inode = 0;
  bool x_is_closed = false;
  Credentials x_asker;                 ///< whose rights the connection to the daemon was made with
  std::optional<nlmsghdr> x_request;   ///< the daemon has not answered it yet
  std::string x_unsent;                ///< a request that the daemon's socket has no room for
  std::vector<std::string> x_answers;  ///< that the program's end has no room for
};

}  // namespace shunt::exec
