// The control socket: a Unix stream socket that answers lines, on an sd-event loop.
//
// Nothing a client does blocks or ends the daemon: sockets never block, a line is at most
// ipvs::kMaxRequest bytes, one line is answered per turn of the loop, nothing is read from a client
// that does not take its answer, and when all places are taken the client that was silent longest
// makes room. Owner: the control thread. Caller: shuntd.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sd_event;
struct sd_event_source;

namespace shunt::control {

class Server {
 public:
  /// The answer to a line, both without newline.
  using Answer = std::function<std::string(std::string_view line)>;

  static constexpr size_t kMostClients = 64;

  /// Listens at `path` with mode 0660, making its directory if there is none. A socket that nobody
  /// listens at any more is replaced; one in use, or a file that is no socket, is refused with a
  /// sentence (status 1).
  static Result<std::unique_ptr<Server>> open(sd_event* loop, const std::string& path,
                                              Answer answer);
  /// Could open() listen at `path`? Its refusals, without changing anything: to be asked before
  /// work that would disturb the daemon that is there.
  static Result<void> check(const std::string& path);
  /// Removes the socket.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  size_t clients() const { return x_clients.size(); }

 private:
  struct Client;
  Server() = default;
  Result<void> listen(const std::string& path);
  void accept_one();
  /// One turn for a client whose socket is ready.
  void serve(Client& client, uint32_t events);
  bool receive(Client& client);
  bool send(Client& client);
  void answer_one(Client& client);
  void close(Client& client);

  sd_event* x_loop = nullptr;
  std::string x_path;
  Answer x_answer;
  int x_fd = -1;
  int x_spare = -1;  ///< given up for a moment to turn a client away when descriptors run out
  sd_event_source* x_source = nullptr;
  std::list<std::unique_ptr<Client>> x_clients;  ///< the one heard last is at the end
};

}  // namespace shunt::control
