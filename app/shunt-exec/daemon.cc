#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <initializer_list>

#include "compat/wire.h"

namespace shunt::exec {

namespace {

/// The first number for descriptors of our own; any, where the program may have no such number.
constexpr int kHigh = 500;
/// Longer than any datagram of the daemon's.
constexpr size_t kMostAnswer = 8192;

void close_raw(int fd) {
  const int error = errno;
  syscall(SYS_close, fd);
  errno = error;
}

}  // namespace

int move_away(int fd) {
  int high = static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, kHigh));
  if (high < 0) high = static_cast<int>(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
  close_raw(fd);
  return high;
}

int connect_to_daemon() {
  const char* path = getenv(compat::kSocketVariable);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!path || strlen(path) >= sizeof address.sun_path) {
    errno = ENOENT;
    return -1;
  }
  strcpy(address.sun_path, path);
  const int fd = static_cast<int>(syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (fd < 0) return -1;
  long status;
  do status = syscall(SYS_connect, fd, &address, sizeof address);
  while (status < 0 && errno == EINTR);
  if (status < 0) {
    close_raw(fd);
    return -1;
  }
  return move_away(fd);
}

ssize_t receive(int fd, void* buffer, size_t size) {
  ssize_t n;
  do n = syscall(SYS_recvfrom, fd, buffer, size, 0, nullptr, nullptr);
  while (n < 0 && errno == EINTR);
  return n;
}

bool send_all(int fd, const void* data, size_t size) {
  ssize_t n;
  do n = syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(size);
}

bool is_proc_file(const char* path, char* name, size_t room) {
  if (!path || strncmp(path, "/proc/", 6) != 0) return false;
  const char* rest = path + 6;
  // /proc/net is /proc/self/net, which is that of every process in the same network.
  const size_t digits = strspn(rest, "0123456789");
  if (digits > 0 && rest[digits] == '/') rest += digits + 1;
  for (const char* self : {"self/", "thread-self/"})
    if (strncmp(rest, self, strlen(self)) == 0) rest += strlen(self);
  static const char* const kFiles[] = {"net/ip_vs",       "net/ip_vs_conn",
                                       "net/ip_vs_stats", "net/ip_vs_stats_percpu",
                                       "net/ip_vs_app",   "net/ip_vs_conn_sync"};
  bool is_ours = false;
  for (const char* file : kFiles) is_ours |= strcmp(rest, file) == 0;
  static const char kKnobs[] = "sys/net/ipv4/vs/";
  const size_t length = sizeof kKnobs - 1;
  is_ours |= strncmp(rest, kKnobs, length) == 0 && rest[length] != '\0' &&
             strchr(rest + length, '/') == nullptr;
  if (!is_ours || strlen(rest) + 7 > room) return false;
  strcpy(name, "/proc/");
  strcat(name, rest);
  return true;
}

int open_proc_file(const char* name, bool for_writing) {
  struct {
    nlmsghdr header;
    char path[128];
  } request{};
  const size_t length = strlen(name);
  if (length + 1 > sizeof request.path) {
    errno = ENOENT;
    return -1;
  }
  memcpy(request.path, name, length);
  const size_t size = sizeof request.header + length + for_writing;
  request.header.nlmsg_len = static_cast<uint32_t>(size);
  request.header.nlmsg_type = compat::kProcFile;
  const int daemon = connect_to_daemon();
  if (daemon < 0) return -1;
  if (!send_all(daemon, &request, size)) {
    close_raw(daemon);
    errno = EIO;
    return -1;
  }
  if (for_writing) {
    // What the program writes goes straight to the daemon.
    const int low = static_cast<int>(syscall(SYS_fcntl, daemon, F_DUPFD, 0));
    close_raw(daemon);
    return low;
  }
  const int file = static_cast<int>(syscall(SYS_memfd_create, "ip_vs", 0));
  char answer[kMostAnswer];
  int error = file < 0 ? errno : 0;
  while (error == 0) {
    const ssize_t n = receive(daemon, answer, sizeof answer);
    nlmsghdr header;
    if (n < static_cast<ssize_t>(sizeof header)) {
      error = EIO;
      break;
    }
    memcpy(&header, answer, sizeof header);
    if (header.nlmsg_type == NLMSG_DONE) break;
    const size_t text = static_cast<size_t>(n) - sizeof header;
    if (header.nlmsg_type == NLMSG_ERROR) {
      int number;
      memcpy(&number, answer + sizeof header, sizeof number);
      error = -number;
    } else if (syscall(SYS_write, file, answer + sizeof header, text) != static_cast<long>(text)) {
      error = EIO;
    }
  }
  close_raw(daemon);
  if (error == 0) {
    syscall(SYS_lseek, file, 0, SEEK_SET);
    return file;
  }
  if (file >= 0) close_raw(file);
  errno = error;
  return -1;
}

}  // namespace shunt::exec
