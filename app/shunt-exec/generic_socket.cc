#include "generic_socket.h"

#include <fcntl.h>
#include <linux/genetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "daemon.h"
#include "messages.h"

namespace shunt::exec {

namespace {

constexpr int kNoWait = MSG_DONTWAIT | MSG_NOSIGNAL;
const sockaddr_nl kKernelAddress{AF_NETLINK, 0, 0, 0};

template <class Address>
const sockaddr* plain(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void close_keeping_errno(int fd) {
  const int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
}

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat of_a, of_b;
  return stat(a.c_str(), &of_a) != 0 || stat(b.c_str(), &of_b) != 0 ||
         (of_a.st_ino == of_b.st_ino && of_a.st_dev == of_b.st_dev);
}

/// A netlink socket of the kernel's, in the network namespace of a thread.
int kernel_socket(pid_t thread, int type) {
  const std::string its = "/proc/" + std::to_string(thread) + "/ns/net", ours = "/proc/self/ns/net";
  type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (is_same_file(its, ours)) return socket(AF_NETLINK, type, NETLINK_GENERIC);
  const int home = open(ours.c_str(), O_RDONLY | O_CLOEXEC);
  const int there = open(its.c_str(), O_RDONLY | O_CLOEXEC);
  int made = -1;
  if (home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0) {
    made = socket(AF_NETLINK, type, NETLINK_GENERIC);
    const int error = errno;
    if (setns(home, CLONE_NEWNET) != 0) abort();
    errno = error;
  }
  close_keeping_errno(home);
  close_keeping_errno(there);
  return made;
}

bool has_ended(int fd) {
  pollfd polled{fd, 0, 0};
  return poll(&polled, 1, 0) == 1 && (polled.revents & POLLHUP);
}

}  // namespace

std::unique_ptr<GenericSocket> GenericSocket::open(pid_t thread, int type, int& program_end) {
  std::unique_ptr<GenericSocket> made(new GenericSocket);
  made->x_kernel = kernel_socket(thread, type & (SOCK_RAW | SOCK_DGRAM));
  if (made->x_kernel < 0) return nullptr;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
  made->x_supervisor_end = ends[1];
  const int on = 1;
  struct stat file;
  if (fstat(ends[0], &file) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0 ||
      setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ((type & SOCK_NONBLOCK) && fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)) {
    close_keeping_errno(ends[0]);
    return nullptr;
  }
  made->x_program_inode = file.st_ino;
  program_end = ends[0];
  return made;
}

GenericSocket::~GenericSocket() {
  for (int fd : {x_supervisor_end, x_kernel, x_daemon}) close_keeping_errno(fd);
}

sockaddr_nl GenericSocket::bind(pid_t process) {
  sockaddr_nl address = own_address();
  if (address.nl_pid != 0) return address;
  // As the kernel does: the process's number if it is free, else any.
  address = {AF_NETLINK, 0, static_cast<uint32_t>(process), 0};
  if (::bind(x_kernel, plain(address), sizeof address) != 0)
    ::bind(x_kernel, plain(kKernelAddress), sizeof kKernelAddress);
  return own_address();
}

sockaddr_nl GenericSocket::own_address() const {
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  getsockname(x_kernel, reinterpret_cast<sockaddr*>(&address), &size);
  return address;
}

void GenericSocket::add_to(std::vector<pollfd>& polled) const {
  // A row without events could only tell of an end, over and over.
  auto add = [&polled](int fd, bool reads, bool writes) {
    const int events = (reads ? POLLIN : 0) | (writes ? POLLOUT : 0);
    polled.push_back({events != 0 ? fd : -1, static_cast<short>(events), 0});
  };
  const bool has_room = x_answers.empty();
  add(x_is_closed ? -1 : x_supervisor_end, has_room && x_unsent.empty(), !has_room);
  add(x_is_closed ? -1 : x_kernel, has_room, false);
  add(x_daemon, has_room, !x_unsent.empty());
}

bool GenericSocket::serve(const pollfd* ready) {
  if (ready[0].revents && !x_answers.empty()) put_waiting();
  if (ready[1].revents) take_answers(x_kernel);
  if (ready[2].revents && !x_unsent.empty()) send_to_daemon();
  if (ready[2].revents && x_daemon >= 0) take_answers(x_daemon);
  if (ready[0].revents && x_answers.empty()) take_requests();
  return !x_is_closed || !x_unsent.empty();
}

void GenericSocket::take_requests() {
  std::array<char, kMostMessage> message;
  while (x_unsent.empty()) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control;
    iovec piece{message.data(), message.size()};
    msghdr received{nullptr, 0, &piece, 1, control.data(), control.size(), 0};
    const ssize_t n = recvmsg(x_supervisor_end, &received, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0 || (n == 0 && has_ended(x_supervisor_end))) {
      x_is_closed = true;
      return;
    }
    const cmsghdr* about = CMSG_FIRSTHDR(&received);
    if (!about || about->cmsg_type != SCM_CREDENTIALS) continue;
    ucred sender;
    std::memcpy(&sender, CMSG_DATA(about), sizeof sender);
    take_request(message.data(), static_cast<size_t>(n), sender);
  }
}

std::optional<Credentials> GenericSocket::credentials_of_sender(const ucred& sender) const {
  auto found = credentials_of(sender.pid);
  if (found && found->user == sender.uid) return found;
  // It has gone meanwhile, or only one of its threads is this user.
  if (x_daemon >= 0 && x_asker.user == sender.uid) return x_asker;
  return Credentials{sender.uid, sender.gid, {}, 0};
}

void GenericSocket::take_request(const char* message, size_t size, const ucred& sender) {
  const auto credentials = credentials_of_sender(sender);
  nlmsghdr header{};
  if (size < sizeof header) return;  // nor does the kernel answer it
  std::memcpy(&header, message, sizeof header);
  const sockaddr_nl own = bind(sender.pid);
  // The kernel answers with the socket's own number, whatever a request says.
  if (own.nl_pid != 0) header.nlmsg_pid = own.nl_pid;
  if (is_for_ipvs(message, size)) {
    x_request = header;
    std::string copy(message, size);
    std::memcpy(copy.data(), &header, sizeof header);
    ask_daemon(std::move(copy), *credentials);
    return;
  }
  int error = EPERM;
  if (Borrowed rights(*credentials); rights)
    error =
        sendto(x_kernel, message, size, kNoWait, plain(kKernelAddress), sizeof kKernelAddress) < 0
            ? errno
            : 0;
  if (error != 0) {
    const Answer answer = error_answer(header, error);
    put(answer.bytes, answer.size);
  }
  take_answers(x_kernel);  // those that the kernel gave at once are there when others look
}

bool GenericSocket::connect(const Credentials& sender) {
  Borrowed rights(sender);
  errno = EPERM;
  x_daemon = rights ? connect_to_daemon() : -1;
  if (x_daemon < 0) return false;
  fcntl(x_daemon, F_SETFL, O_NONBLOCK);
  x_asker = sender;
  return true;
}

void GenericSocket::ask_daemon(std::string message, const Credentials& sender) {
  if (x_daemon >= 0 && x_asker != sender) {
    close(x_daemon);
    x_daemon = -1;
  }
  for (int attempt = 0; attempt < 2; attempt++) {
    if (x_daemon < 0 && !connect(sender)) return put_answers_without_daemon(errno);
    if (send(x_daemon, message.data(), message.size(), kNoWait) >= 0) return;
    if (errno == EAGAIN) {
      x_unsent = std::move(message);
      return;
    }
    if (!is_lost(errno)) break;
    // It was restarted since the last request: this one is for its successor.
    close_keeping_errno(x_daemon);
    x_daemon = -1;
  }
  put_answers_without_daemon(errno);
}

void GenericSocket::send_to_daemon() {
  const ssize_t n = send(x_daemon, x_unsent.data(), x_unsent.size(), kNoWait);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  x_unsent.clear();
  if (n < 0) daemon_has_gone(errno);
}

void GenericSocket::take_answers(int from) {
  std::array<char, kMostMessage> message;
  while (x_answers.empty()) {
    const ssize_t n = recv(from, message.data(), message.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (from == x_kernel) {
      if (n <= 0) return;
    } else if (n < static_cast<ssize_t>(sizeof(nlmsghdr))) {
      return daemon_has_gone(ECONNRESET);
    } else if (nlmsghdr header; x_request) {
      std::memcpy(&header, message.data(), sizeof header);
      if (is_last_answer(header, *x_request)) x_request.reset();
    }
    put(message.data(), static_cast<size_t>(n));
  }
}

/// A netlink socket knows no end: without a request nothing is said.
void GenericSocket::daemon_has_gone(int error) {
  close(x_daemon);
  x_daemon = -1;
  if (!x_request) return;
  const Answer answer = error_answer(*x_request, error);
  x_request.reset();
  put(answer.bytes, answer.size);
}

void GenericSocket::put_answers_without_daemon(int error) {
  const Answers answers = answers_without_daemon(*x_request, error);
  x_request.reset();
  for (size_t i = 0; i < answers.count; i++) put(answers.all[i].bytes, answers.all[i].size);
}

void GenericSocket::put(const char* message, size_t size) {
  x_answers.emplace_back(message, size);
  put_waiting();
}

void GenericSocket::put_back(int program_end, std::string message) {
  std::vector<std::string> all{std::move(message)};
  std::array<char, kMostMessage> next;
  ssize_t n;
  while ((n = recv(program_end, next.data(), next.size(), MSG_DONTWAIT)) > 0)
    all.emplace_back(next.data(), static_cast<size_t>(n));
  x_answers.insert(x_answers.begin(), all.begin(), all.end());
  put_waiting();
}

void GenericSocket::put_waiting() {
  size_t done = 0;
  for (; done < x_answers.size(); done++)
    if (send(x_supervisor_end, x_answers[done].data(), x_answers[done].size(), kNoWait) < 0 &&
        errno == EAGAIN)
      break;
  x_answers.erase(x_answers.begin(), x_answers.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace shunt::exec
