#include "compat/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "compat/conversation.h"
#include "compat/proc_files.h"

namespace shunt::compat {
namespace {

Error failed(const std::string& what, const std::string& path) {
  return {what + " " + path + ": " + std::strerror(errno), 1};
}

}  // namespace

struct Server::Client {
  Client(Server& its_server, int its_fd)
      : server(its_server),
        fd(its_fd),
        conversation(its_server.x_executor),
        proc_files(its_server.x_executor) {}

  Server& server;
  const int fd;
  sd_event_source* source = nullptr;
  Conversation conversation;
  ProcFiles proc_files;
  Datagram answer;  ///< being sent
  bool has_answer = false;
  bool is_asleep = false;  ///< its answer waits for wake()
  std::list<std::unique_ptr<Client>>::iterator place;

  bool is_idle() const { return conversation.is_idle() && proc_files.is_idle(); }
  bool waits_for_disk() const {
    return conversation.waits_for_disk() || proc_files.waits_for_disk();
  }
  bool next() {
    has_answer = proc_files.is_idle() ? conversation.next(answer) : proc_files.next(answer);
    return has_answer;
  }
};

Server::Server(sd_event* loop, control::Executor& executor) : x_loop(loop), x_executor(executor) {}

std::string socket_beside(const std::string& control) {
  return (std::filesystem::path(control).parent_path() / "ipvs.sock").string();
}

Result<std::unique_ptr<Server>> Server::open(sd_event* loop, const std::string& path,
                                             control::Executor& executor) {
  std::unique_ptr<Server> server(new Server(loop, executor));
  if (auto listening = server->listen(path); !listening) return listening.error();
  const int added = sd_event_add_io(
      loop, &server->x_source, server->x_fd, EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* self) {
        static_cast<Server*>(self)->accept_one();
        return 0;
      },
      server.get());
  if (added < 0) {
    errno = -added;
    return failed("cannot watch", path);
  }
  return server;
}

Result<void> Server::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{"cannot listen at " + path + ": a socket's path has at most " +
                 std::to_string(sizeof address.sun_path - 1) + " bytes"};
  std::memcpy(address.sun_path, path.data(), path.size());
  // Whoever holds the control socket beside it is the only daemon here: the socket is a stale one.
  struct stat found;
  if (lstat(path.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode))
      return Error{"cannot listen at " + path + ": it exists and is no socket; remove it"};
    unlink(path.c_str());
  }
  x_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (x_fd < 0) return failed("cannot make the socket", path);
  const mode_t mask = umask(0117);  // 0660 from the very start
  const int bound = bind(x_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(mask);
  errno = error;
  if (bound != 0) return failed("cannot listen at", path);
  x_path = path;
  if (::listen(x_fd, SOMAXCONN) != 0) return failed("cannot listen at", path);
  return {};
}

Server::~Server() {
  while (!x_clients.empty()) close(*x_clients.front());
  sd_event_source_unref(x_source);
  if (x_fd >= 0) ::close(x_fd);
  if (!x_path.empty()) unlink(x_path.c_str());
}

void Server::accept_one() {
  const int fd = accept4(x_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    // Without a descriptor nobody can be accepted until somebody goes.
    if ((errno == EMFILE || errno == ENFILE) && !x_clients.empty()) make_room();
    return;
  }
  if (x_clients.size() == kMostClients) make_room();
  Client& client = *x_clients.emplace_back(std::make_unique<Client>(*this, fd));
  client.place = std::prev(x_clients.end());
  const int added = sd_event_add_io(
      x_loop, &client.source, fd, EPOLLIN,
      [](sd_event_source*, int, uint32_t events, void* self) {
        auto* ready = static_cast<Client*>(self);
        if (!ready->server.serve(*ready, events)) ready->server.close(*ready);
        return 0;
      },
      &client);
  if (added < 0) close(client);
}

/// Rather without a client that waits for nothing.
void Server::make_room() {
  auto idle = std::find_if(x_clients.begin(), x_clients.end(), [](const auto& client) {
    return !client->has_answer && client->is_idle();
  });
  close(idle == x_clients.end() ? *x_clients.front() : **idle);
}

bool Server::serve(Client& client, uint32_t events) {
  x_clients.splice(x_clients.end(), x_clients, client.place);
  if (!client.has_answer && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !receive(client))
    return false;
  const bool says = client.has_answer || client.next();
  if (says && !send(client)) return false;
  // What is left to be said is said in the next turn, which "writable" brings at once.
  const bool waits = client.has_answer || !client.is_idle();
  client.is_asleep = !says && client.waits_for_disk();
  sd_event_source_set_io_events(client.source, waits ? EPOLLOUT : EPOLLIN);
  sd_event_source_set_enabled(client.source, client.is_asleep ? SD_EVENT_OFF : SD_EVENT_ON);
  return true;
}

void Server::wake() {
  for (const auto& client : x_clients)
    if (client->is_asleep) sd_event_source_set_enabled(client->source, SD_EVENT_ON);
}

bool Server::receive(Client& client) {
  if (!client.is_idle()) return true;
  std::array<char, kMostRequest> bytes;
  const ssize_t n = recv(client.fd, bytes.data(), bytes.size(), MSG_TRUNC);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  // The end; or longer than any request that means something.
  if (n == 0 || static_cast<size_t>(n) > bytes.size()) return false;
  const std::string_view datagram(bytes.data(), static_cast<size_t>(n));
  if (client.proc_files.is_writing() || ProcFiles::is_request(datagram))
    client.proc_files.take(datagram);
  else
    client.conversation.take(datagram);
  return true;
}

bool Server::send(Client& client) {
  const ssize_t n =
      ::send(client.fd, client.answer.data(), client.answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
  client.has_answer = false;
  return true;
}

void Server::close(Client& client) {
  sd_event_source_disable_unref(client.source);
  ::close(client.fd);
  x_clients.erase(client.place);
}

}  // namespace shunt::compat
