#include "control/server.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace shunt::control {
namespace {

/// Bytes read from a client in one turn.
constexpr size_t kReadSize = 64 * 1024;
/// Of a request that took more than this the memory is given back to the system: what a large
/// request leaves behind would else stay in the allocator's lists for good.
constexpr size_t kLargeRequest = 1 << 20;

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
  pid_t pid;  ///< whose it is
  std::unique_ptr<Conversation> conversation;
  sd_event_source* source = nullptr;
  std::string input;    ///< read and not heard yet
  size_t line = 0;      ///< bytes of the line that was heard last, while it is not over
  bool works = false;   ///< its line is over, and the answer not done
  bool begun = false;   ///< something of the answer is done
  bool asleep = false;  ///< there is nothing to work on before wake()
  std::list<Client*>* queue = nullptr;
  std::list<Client*>::iterator in_queue;
  std::string output;
  size_t sent = 0;       ///< bytes of output
  bool ended = false;    ///< it sends no more, or must not: close when all is answered
  bool gone = false;     ///< it hears no more
  size_t most_held = 0;  ///< since memory was last given back
  Clients::iterator place;

  size_t unread() const { return output.size() - sent; }
};

Result<std::unique_ptr<Server>> Server::open(sd_event* loop, const std::string& path,
                                             NewConversation converse) {
  std::unique_ptr<Server> server(new Server);
  server->x_loop = loop;
  server->x_converse = std::move(converse);
  server->x_spare = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (auto listening = server->listen(path); !listening) return listening.error();
  if (auto watched = server->watch(); !watched) return watched.error();
  return server;
}

Result<void> Server::watch() {
  int added = sd_event_add_io(
      x_loop, &x_source, x_fd, EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* self) {
        static_cast<Server*>(self)->accept_one();
        return 0;
      },
      this);
  // Not a defer source, which the loop would prefer to every socket that became ready later.
  x_work = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (added >= 0)
    added = sd_event_add_io(
        x_loop, &x_worker, x_work, EPOLLIN,
        [](sd_event_source*, int, uint32_t, void* self) {
          static_cast<Server*>(self)->work_one();
          return 0;
        },
        this);
  if (added >= 0) return {};
  errno = -added;
  return failed("cannot watch", x_path);
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
  sd_event_source_disable_unref(x_source);
  sd_event_source_disable_unref(x_worker);
  if (x_fd >= 0) ::close(x_fd);
  if (x_work >= 0) ::close(x_work);
  if (x_spare >= 0) ::close(x_spare);
  if (!x_path.empty()) unlink(x_path.c_str());
}

size_t Server::unread() const {
  size_t bytes = 0;
  for (const auto& client : x_clients) bytes += client->output.capacity();
  return bytes;
}

size_t Server::held() const {
  size_t bytes = 0;
  for (const auto& client : x_clients) bytes += client->conversation->memory();
  return bytes;
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
  if (x_clients.size() == kMostClients && !make_room(fd)) {
    ::close(fd);
    return;
  }
  ucred who{};
  socklen_t size = sizeof who;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
  auto& client = *x_clients.emplace_back(new Client{this, fd, who.pid, x_converse()});
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

bool Server::make_room(int fd) {
  const std::string sentence =
      "shuntd speaks with " + std::to_string(kMostClients) + " clients at once at most";
  if (Client* client = longest_silent_of_the_loudest()) {
    turn_away(*client, sentence + ": this one was silent longest and made room");
    return true;
  }
  const std::string line = x_converse()->farewell(sentence + ", and all of them are at work");
  (void)!::send(fd, line.data(), line.size(), MSG_NOSIGNAL);
  return false;
}

/// Of the process that has most clients, so that whoever opens many loses his own; never one whose
/// request is worked on.
Server::Client* Server::longest_silent_of_the_loudest() {
  Client* found = nullptr;
  size_t most = 0;
  for (const auto& client : x_clients) {
    if (client->queue) continue;
    size_t clients = 0;
    for (const auto& other : x_clients) clients += other->pid == client->pid;
    if (clients <= most) continue;
    most = clients;
    found = client.get();
  }
  return found;
}

void Server::serve(Client& client, uint32_t events) {
  x_clients.splice(x_clients.end(), x_clients, client.place);
  const bool readable = events & (EPOLLIN | EPOLLHUP | EPOLLERR);
  if (client.unread() == 0 && !client.works && readable && !receive(client)) return close(client);
  if (client.unread() != 0 && !send(client)) return lose(client);
  settle(client);
}

bool Server::receive(Client& client) {
  char bytes[kReadSize];
  ssize_t n = read(client.fd, bytes, sizeof bytes);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0)
    client.ended = true;
  else
    client.input.assign(bytes, static_cast<size_t>(n));
  hear(client);
  return true;
}

/// As far as the end of a line.
void Server::hear(Client& client) {
  const size_t end = client.input.find('\n');
  const size_t size = std::min(end, client.input.size());
  client.conversation->hear(std::string_view(client.input).substr(0, size));
  client.line += size;
  client.input.erase(0, end == client.input.npos ? size : size + 1);
  if (end != client.input.npos || client.line > kMostOfLine) {
    client.ended |= end == client.input.npos;
    client.conversation->end_line();
    client.line = 0;
    client.works = true;
    client.begun = false;
  }
  if (client.input.empty()) std::string().swap(client.input);
  limit_held(client);
}

void Server::limit_held(Client& client) {
  client.most_held = std::max(client.most_held, client.conversation->memory());
  if (client.conversation->memory() <= kLittleHeld) return;
  while (held() > kMostHeld) {
    auto found = std::find_if(x_clients.begin(), x_clients.end(), [&](const auto& other) {
      return !other->queue && other->conversation->memory() > kLittleHeld;
    });
    if (found == x_clients.end()) return;
    if (found->get() == &client) {
      // Not closed here: whoever called is not done with it.
      client.conversation = x_converse();
      client.output += client.conversation->farewell("the requests of all clients take " +
                                                     std::to_string(kMostHeld) +
                                                     " bytes at most: try again later");
      client.input.clear();
      client.works = false;
      client.ended = true;
      return;
    }
    turn_away(**found, "the requests of all clients take " + std::to_string(kMostHeld) +
                           " bytes at most: this one waited longest");
  }
}

bool Server::send(Client& client) {
  ssize_t n = ::send(client.fd, client.output.data() + client.sent, client.unread(), MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  client.sent += static_cast<size_t>(n);
  if (client.unread() == 0) {
    std::string().swap(client.output);
    client.sent = 0;
  } else if (client.sent >= kReadSize) {
    client.output.erase(0, client.sent);
    client.sent = 0;
  }
  return true;
}

/// It does not hear us any more. What it asked to be changed is changed nevertheless.
void Server::lose(Client& client) {
  if (!client.works || !client.conversation->edits()) return close(client);
  client.gone = client.ended = true;
  client.input.clear();
  settle(client);
}

void Server::work_one() {
  if (x_new.empty() && x_long.empty()) return no_more_work();  // whoever was in them is gone
  auto& queue = x_new.empty() || (x_long_next && !x_long.empty()) ? x_long : x_new;
  x_long_next = &queue == &x_new;
  Client& client = *queue.front();
  queue.pop_front();
  client.queue = nullptr;
  if (x_new.empty() && x_long.empty()) no_more_work();
  work_on(client);
}

void Server::wake() {
  for (Client* client : std::exchange(x_asleep, {})) {
    client->asleep = false;
    enqueue(*client, x_long);
  }
}

void Server::no_more_work() {
  uint64_t count;
  (void)!read(x_work, &count, sizeof count);
}

void Server::work_on(Client& client) {
  client.begun = true;
  const Progress progress = client.conversation->work(client.output);
  client.works = progress != Progress::kDone;
  client.asleep = progress == Progress::kSleeps;
  client.most_held = std::max(client.most_held, client.conversation->memory());
  if (!client.works) give_back(client);
  if (client.unread() != 0 && !client.gone && !send(client)) return lose(client);
  settle(client);
}

void Server::give_back(Client& client) {
  if (client.most_held > kLargeRequest) malloc_trim(0);
  client.most_held = 0;
}

void Server::settle(Client& client) {
  if (client.gone) std::string().swap(client.output), client.sent = 0;
  if (!client.works && client.unread() == 0 && !client.input.empty()) hear(client);
  if (client.works && !client.queue && client.asleep) {
    client.queue = &x_asleep;
    client.in_queue = x_asleep.insert(x_asleep.end(), &client);
  }
  if (client.works && !client.queue && client.unread() < kMostUnread)
    enqueue(client, client.begun ? x_long : x_new);
  const bool idle = !client.works && client.unread() == 0;
  if (idle && client.ended) return close(client);
  const bool writes = client.unread() != 0;
  if (idle || writes) sd_event_source_set_io_events(client.source, writes ? EPOLLOUT : EPOLLIN);
  sd_event_source_set_enabled(client.source, idle || writes ? SD_EVENT_ON : SD_EVENT_OFF);
}

void Server::enqueue(Client& client, std::list<Client*>& queue) {
  client.queue = &queue;
  client.in_queue = queue.insert(queue.end(), &client);
  const uint64_t one = 1;
  (void)!write(x_work, &one, sizeof one);
}

void Server::turn_away(Client& client, const std::string& sentence) {
  // In the middle of an answer it could not be told from it.
  if (client.unread() == 0 && !client.works) {
    client.output = client.conversation->farewell(sentence);
    send(client);
  }
  close(client);
}

void Server::close(Client& client) {
  if (client.queue) client.queue->erase(client.in_queue);
  sd_event_source_disable_unref(client.source);
  ::close(client.fd);
  client.conversation.reset();
  give_back(client);
  x_clients.erase(client.place);
}

}  // namespace shunt::control
