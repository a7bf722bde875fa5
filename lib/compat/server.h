// The second socket of the daemon: raw generic-netlink frames of the family "IPVS" in a Unix socket
// of type SOCK_SEQPACKET, a datagram each way as on a netlink socket. Behind it are programs that
// believe that they speak with the kernel (shunt-exec).
//
// Same permissions as the control socket: mode 0660. Nothing a client does blocks the daemon or
// costs more than a request and a piece of an answer: nothing is read from one that does not take
// its answers, and a turn of the loop sends one datagram to each, or does a slice of its work. With
// all places taken, the client that waits for nothing and was silent longest makes room; its
// program's next request connects again. Owner: the control thread. Caller: shuntd.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/executor.h"

struct sd_event;
struct sd_event_source;

namespace shunt::compat {

class Server {
 public:
  static constexpr size_t kMostClients = 256;

  /// Listens at `path`, whose directory exists. A socket that nobody listens at is replaced.
  static Result<std::unique_ptr<Server>> open(sd_event* loop, const std::string& path,
                                              control::Executor& executor);
  /// Removes the socket.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Goes on with answers that waited for the disk (control/journal.h).
  void wake();

  size_t clients() const { return x_clients.size(); }

 private:
  struct Client;
  Server(sd_event* loop, control::Executor& executor);
  Result<void> listen(const std::string& path);
  void accept_one();
  void make_room();
  /// One turn for a client whose socket is ready; false: it is to be closed.
  bool serve(Client& client, uint32_t events);
  bool receive(Client& client);
  bool send(Client& client);
  void close(Client& client);

  sd_event* const x_loop;
  control::Executor& x_executor;
  std::string x_path;
  int x_fd = -1;
  sd_event_source* x_source = nullptr;
  std::list<std::unique_ptr<Client>> x_clients;  ///< the one heard last is at the end
};

/// Where the second socket is if the control socket is at `control`: "ipvs.sock" beside it.
std::string socket_beside(const std::string& control);

}  // namespace shunt::compat
