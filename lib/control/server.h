// The control socket: a Unix stream socket that answers lines, on an sd-event loop.
//
// Nothing a client does blocks or ends the daemon, or makes others wait long: sockets never block,
// answers are worked on in slices, one in a turn of the loop, those that have just begun and the
// others by turns. Nothing is read from a client that does not take its answer, and no more of the
// answer is made. Memory is bounded by the constants below. When all places are taken, a client
// that waits for nothing makes room. Owner: the control thread. Caller: shuntd.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "control/conversation.h"

struct sd_event;
struct sd_event_source;

namespace shunt::control {

class Server {
 public:
  static constexpr size_t kMostClients = 64;
  /// Bytes of a client's answers that wait to be read, after which no more are made; the slice that
  /// goes beyond it is let through.
  static constexpr size_t kMostUnread = 256 * 1024;
  /// Bytes of memory that the requests of all clients may take, and one that is spared when they
  /// do.
  static constexpr size_t kMostHeld = 64u << 20, kLittleHeld = 64 * 1024;
  /// Bytes of a line. Conversations have limits of their own; this is where reading ends.
  static constexpr size_t kMostOfLine = 17u << 20;

  /// Listens at `path` with mode 0660, making its directory if there is none. A socket that nobody
  /// listens at any more is replaced; one in use, or a file that is no socket, is refused with a
  /// sentence (status 1).
  static Result<std::unique_ptr<Server>> open(sd_event* loop, const std::string& path,
                                              NewConversation converse);
  /// Could open() listen at `path`? Its refusals, without changing anything: to be asked before
  /// work that would disturb the daemon that is there.
  static Result<void> check(const std::string& path);
  /// Removes the socket.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Goes on with the answers that sleep (Progress::kSleeps).
  void wake();

  size_t clients() const { return x_clients.size(); }
  /// Bytes of answers that wait to be read, and that requests take, of all clients.
  size_t unread() const;
  size_t held() const;

 private:
  struct Client;
  using Clients = std::list<std::unique_ptr<Client>>;  ///< the one heard last is at the end
  Server() = default;
  Result<void> listen(const std::string& path);
  Result<void> watch();
  void accept_one();
  bool make_room(int fd);
  Client* longest_silent_of_the_loudest();
  void limit_held(Client& client);
  /// A client whose socket is ready.
  void serve(Client& client, uint32_t events);
  bool receive(Client& client);
  void hear(Client& client);
  bool send(Client& client);
  void work_one();
  void no_more_work();
  void work_on(Client& client);
  /// Asks the loop for what this client is to wait for.
  void settle(Client& client);
  void enqueue(Client& client, std::list<Client*>& queue);
  void turn_away(Client& client, const std::string& sentence);
  void lose(Client& client);
  void give_back(Client& client);
  void close(Client& client);

  sd_event* x_loop = nullptr;
  std::string x_path;
  NewConversation x_converse;
  int x_fd = -1;
  int x_spare = -1;  ///< given up for a moment to turn a client away when descriptors run out
  sd_event_source* x_source = nullptr;
  int x_work = -1;  ///< an eventfd, readable while there is something to work on
  sd_event_source* x_worker = nullptr;
  Clients x_clients;
  std::list<Client*> x_new, x_long;  ///< to be worked on: not begun yet, and begun
  bool x_long_next = false;          ///< they take turns
  std::list<Client*> x_asleep;
};

}  // namespace shunt::control
