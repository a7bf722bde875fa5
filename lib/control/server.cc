#include "control/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "ipvs/protocol.h"

namespace shunt::control {
namespace {

/// Bytes read from a client in one turn, and the input kept when nothing is pending.
constexpr size_t kReadSize = 64 * 1024;

Error failed(const std::string& what, const std::string& path) {
  return {what + " " + path + ": " + std::strerror(errno), 1};
}

/// `path` must fit.
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Whether a socket that nobody listens at any more is at `path`. An error when one could not
/// listen there.
Result<bool> find_stale(const std::string& path) {
  constexpr size_t kRoom = sizeof sockaddr_un{}.sun_path;
  if (path.empty() || path.size() >= kRoom)
    return Error{"cannot listen at '" + path + "': a socket's path has 1 to " +
                 std::to_string(kRoom - 1) + " bytes"};
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) return false;
  if (!S_ISSOCK(found.st_mode))
    return Error{"cannot listen at " + path + ": it exists and is no socket; remove it"};
  sockaddr_un address = address_of(path);
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int status = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int error = status == 0 ? 0 : errno;
  ::close(probe);
  errno = error;
  if (error != 0 && error != ECONNREFUSED && error != EAGAIN)
    return failed("cannot find out who listens at", path);
  if (error != ECONNREFUSED)
    return Error{"cannot listen at " + path +
                 ": another daemon does; stop it, or choose another with --socket"};
  return true;
}

}  // namespace

struct Server::Client {
  Server* server;
  int fd;
  sd_event_source* source = nullptr;
  std::string input;
  size_t searched = 0;  ///< bytes of input known to hold no newline
  std::string output;
  size_t sent = 0;     ///< bytes of output
  bool ended = false;  ///< it sends no more, or must not: close when output is sent
  std::list<std::unique_ptr<Client>>::iterator place;

  bool has_line() {
    size_t end = input.find('\n', searched);
    searched = end == input.npos ? input.size() : end;
    return end != input.npos;
  }
};

Result<std::unique_ptr<Server>> Server::open(sd_event* loop, const std::string& path,
                                             Answer answer) {
  std::unique_ptr<Server> server(new Server);
  server->x_loop = loop;
  server->x_answer = std::move(answer);
  server->x_spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (auto listening = server->listen(path); !listening) return listening.error();
  int added = sd_event_add_io(
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

Result<void> Server::check(const std::string& path) {
  auto stale = find_stale(path);
  if (!stale) return stale.error();
  return {};
}

Result<void> Server::listen(const std::string& path) {
  auto stale = find_stale(path);
  if (!stale) return stale.error();
  if (*stale) unlink(path.c_str());
  std::error_code ignored;  // bind() will say what is wrong
  auto directory = std::filesystem::path(path).parent_path();
  if (!directory.empty()) std::filesystem::create_directories(directory, ignored);
  sockaddr_un address = address_of(path);

  x_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (x_fd < 0) return failed("cannot make the socket", path);
  mode_t mask = umask(0117);  // 0660 from the very start
  int bound = bind(x_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  int error = errno;
  umask(mask);
  errno = error;
  if (bound != 0) return failed("cannot listen at", path);
  x_path = path;  // from here on it is ours to remove
  if (::listen(x_fd, SOMAXCONN) != 0) return failed("cannot listen at", path);
  return {};
}

Server::~Server() {
  while (!x_clients.empty()) close(*x_clients.front());
  sd_event_source_unref(x_source);
  if (x_fd >= 0) ::close(x_fd);
  if (x_spare >= 0) ::close(x_spare);
  if (!x_path.empty()) unlink(x_path.c_str());
}

void Server::accept_one() {
  int fd = accept4(x_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno != EMFILE && errno != ENFILE) return;
    // Left waiting, it would wake us for ever.
    ::close(x_spare);
    fd = accept4(x_fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) ::close(fd);
    x_spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    return;
  }
  if (x_clients.size() == kMostClients) close(*x_clients.front());
  auto& client = *x_clients.emplace_back(new Client{this, fd});
  client.place = std::prev(x_clients.end());
  int added = sd_event_add_io(
      x_loop, &client.source, fd, EPOLLIN,
      [](sd_event_source*, int, uint32_t events, void* self) {
        auto* ready = static_cast<Client*>(self);
        ready->server->serve(*ready, events);
        return 0;
      },
      &client);
  if (added < 0) close(client);
}

void Server::serve(Client& client, uint32_t events) {
  x_clients.splice(x_clients.end(), x_clients, client.place);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && client.output.empty() && !client.ended)
    if (!receive(client)) return close(client);
  if (client.output.empty() && client.has_line()) answer_one(client);
  if (!client.output.empty() && !send(client)) return close(client);
  bool waits = !client.output.empty();
  bool more = !waits && client.has_line();
  if (client.ended && !waits && !more) return close(client);
  // A line that is there already is answered in the next turn, which "writable" brings at once.
  sd_event_source_set_io_events(client.source, waits || more ? EPOLLOUT : EPOLLIN);
}

bool Server::receive(Client& client) {
  char bytes[kReadSize];
  ssize_t n = read(client.fd, bytes, sizeof bytes);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) {
    client.ended = true;
    return true;
  }
  client.input.append(bytes, static_cast<size_t>(n));
  if (!client.has_line() && client.input.size() > ipvs::kMaxRequest) {
    std::string sentence = "a request has at most " + std::to_string(ipvs::kMaxRequest) + " bytes";
    client.output = encode(ipvs::Reply{{{0, 2, sentence}}, {}, {}, {}, {}}) + "\n";
    client.input = {};
    client.searched = 0;
    client.ended = true;
  }
  return true;
}

void Server::answer_one(Client& client) {
  client.output = x_answer(std::string_view(client.input).substr(0, client.searched));
  client.output += '\n';
  client.sent = 0;
  client.input.erase(0, client.searched + 1);
  client.searched = 0;
  if (client.input.empty() && client.input.capacity() > kReadSize) client.input.shrink_to_fit();
}

bool Server::send(Client& client) {
  ssize_t n = ::send(client.fd, client.output.data() + client.sent,
                     client.output.size() - client.sent, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  client.sent += static_cast<size_t>(n);
  if (client.sent == client.output.size()) {
    client.output = {};
    client.sent = 0;
  }
  return true;
}

void Server::close(Client& client) {
  sd_event_source_disable_unref(client.source);
  ::close(client.fd);
  x_clients.erase(client.place);
}

}  // namespace shunt::control
