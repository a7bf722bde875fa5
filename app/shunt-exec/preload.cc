// libshunt-ipvs.so: the functions of the C library that shunt-exec puts its own before. Each asks
// in a table whether it is concerned, and is the C library's otherwise.
#include <errno.h>
#include <fcntl.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon.h"
#include "next.h"
#include "sockets.h"

using namespace shunt::exec;

namespace {

constexpr size_t kLongestName = 128;

bool writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY;
}

/// The file's descriptor, -1 with errno, or -2: it is none of the daemon's.
int open_ours(const char* path, bool for_writing) {
  char name[kLongestName];
  return is_proc_file(path, name, sizeof name) ? open_proc_file(name, for_writing) : -2;
}

int open_as(int (*its_open)(const char*, int, ...), const char* path, int flags, mode_t mode) {
  const int file = open_ours(path, writes(flags));
  return file != -2 ? file : its_open(path, flags, mode);
}

mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

FILE* open_stream(FILE* (*its_open)(const char*, const char*), const char* path, const char* mode) {
  const int file = open_ours(path, mode[0] != 'r' || strchr(mode, '+'));
  if (file == -2) return its_open(path, mode);
  return file < 0 ? nullptr : fdopen(file, mode);
}

static_assert(sizeof(struct stat) == sizeof(struct stat64));

/// What stat() says of a file of /proc that the daemon has.
bool fill_ours(const char* path, struct stat* to) {
  char name[kLongestName];
  if (!is_proc_file(path, name, sizeof name)) return false;
  memset(to, 0, sizeof *to);
  to->st_mode = S_IFREG | (strncmp(name, "/proc/sys", 9) == 0 ? 0644 : 0444);
  to->st_nlink = 1;
  to->st_blksize = 4096;
  return true;
}

/// The address of whoever answers on a netlink socket: the kernel.
void set_kernel_address(void* address, socklen_t* size) {
  if (!address || !size) return;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  memcpy(address, &kernel, *size < sizeof kernel ? *size : sizeof kernel);
  *size = sizeof kernel;
}

bool is_ipvs_option(int level, int option) {
  return level == IPPROTO_IP && option >= IP_VS_BASE_CTL && option <= IP_VS_BASE_CTL + 127;
}

/// The socket that has an option of the program's socket.
int holder_of(int fd, int level, int option) {
  const bool is_netlinks =
      level == SOL_NETLINK ||
      (level == SOL_SOCKET && (option == SO_DOMAIN || option == SO_PROTOCOL || option == SO_TYPE));
  return is_netlinks ? kernels_socket(fd) : fd;
}

}  // namespace

extern "C" {

int socket(int domain, int type, int protocol) {
  const int fd = NEXT(socket)(domain, type, protocol);
  if (fd >= 0) note_socket(fd, domain, protocol);
  return fd;
}

int close(int fd) {
  if (!note_close(fd)) {
    errno = EBADF;
    return -1;
  }
  return NEXT(close)(fd);
}

int dup(int fd) {
  const int copy = NEXT(dup)(fd);
  if (copy >= 0) note_copy(fd, copy);
  return copy;
}

int dup2(int fd, int to) {
  const int copy = NEXT(dup2)(fd, to);
  if (copy >= 0) note_copy(fd, copy);
  return copy;
}

int dup3(int fd, int to, int flags) {
  const int copy = NEXT(dup3)(fd, to, flags);
  if (copy >= 0) note_copy(fd, copy);
  return copy;
}

int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  const int result = NEXT(fcntl)(fd, command, argument);
  if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) note_copy(fd, result);
  return result;
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return fcntl(fd, command, argument);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  ssize_t sent;
  if (is_watched(fd) && divert(fd, message->msg_iov, message->msg_iovlen, flags, sent)) return sent;
  return NEXT(sendmsg)(fd, message, flags);
}

ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
               socklen_t to_size) {
  ssize_t sent;
  const iovec piece{const_cast<void*>(data), size};
  if (is_watched(fd) && divert(fd, &piece, 1, flags, sent)) return sent;
  return NEXT(sendto)(fd, data, size, flags, to, to_size);
}

ssize_t send(int fd, const void* data, size_t size, int flags) {
  ssize_t sent;
  const iovec piece{const_cast<void*>(data), size};
  if (is_watched(fd) && divert(fd, &piece, 1, flags, sent)) return sent;
  return NEXT(send)(fd, data, size, flags);
}

ssize_t write(int fd, const void* data, size_t size) {
  ssize_t sent;
  const iovec piece{const_cast<void*>(data), size};
  if (is_watched(fd) && divert(fd, &piece, 1, 0, sent)) return sent;
  return NEXT(write)(fd, data, size);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (!is_diverted(fd)) return NEXT(recvmsg)(fd, message, flags);
  ssize_t n;
  const socklen_t room = message->msg_namelen;
  do {
    message->msg_namelen = room;
    n = NEXT(recvmsg)(fd, message, flags);
  } while (
      look_at_answer(fd, message->msg_iovlen ? message->msg_iov[0].iov_base : nullptr, n, flags));
  if (n >= 0) {
    message->msg_namelen = room;
    set_kernel_address(message->msg_name, &message->msg_namelen);
  }
  return n;
}

ssize_t recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from, socklen_t* from_size) {
  if (!is_diverted(fd)) return NEXT(recvfrom)(fd, data, size, flags, from, from_size);
  ssize_t n;
  do n = NEXT(recvfrom)(fd, data, size, flags, nullptr, nullptr);
  while (look_at_answer(fd, data, n, flags));
  if (n >= 0) set_kernel_address(from, from_size);
  return n;
}

ssize_t recv(int fd, void* data, size_t size, int flags) {
  ssize_t n;
  do n = NEXT(recv)(fd, data, size, flags);
  while (is_diverted(fd) && look_at_answer(fd, data, n, flags));
  return n;
}

int getsockname(int fd, sockaddr* address, socklen_t* size) {
  return NEXT(getsockname)(kernels_socket(fd), address, size);
}

int bind(int fd, const sockaddr* address, socklen_t size) {
  return NEXT(bind)(kernels_socket(fd), address, size);
}

int connect(int fd, const sockaddr* address, socklen_t size) {
  return NEXT(connect)(kernels_socket(fd), address, size);
}

// The older interface of IPVS is not there, as in a kernel without the module.
int getsockopt(int fd, int level, int option, void* value, socklen_t* size) {
  if (!is_ipvs_option(level, option))
    return NEXT(getsockopt)(holder_of(fd, level, option), level, option, value, size);
  errno = ENOPROTOOPT;
  return -1;
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t size) {
  if (!is_ipvs_option(level, option))
    return NEXT(setsockopt)(holder_of(fd, level, option), level, option, value, size);
  errno = ENOPROTOOPT;
  return -1;
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_as(NEXT(open), path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_as(NEXT(open64), path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  const int file = open_ours(path, writes(flags));
  return file != -2 ? file : NEXT(openat)(directory, path, flags, mode);
}

int openat64(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  const int file = open_ours(path, writes(flags));
  return file != -2 ? file : NEXT(openat64)(directory, path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  return open_stream(NEXT(fopen), path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  return open_stream(NEXT(fopen64), path, mode);
}

int access(const char* path, int mode) {
  struct stat ours;
  return fill_ours(path, &ours) ? 0 : NEXT(access)(path, mode);
}

int stat(const char* path, struct stat* to) {
  return fill_ours(path, to) ? 0 : NEXT(stat)(path, to);
}

int stat64(const char* path, struct stat64* to) {
  return fill_ours(path, reinterpret_cast<struct stat*>(to)) ? 0 : NEXT(stat64)(path, to);
}

int fstatat(int directory, const char* path, struct stat* to, int flags) {
  return fill_ours(path, to) ? 0 : NEXT(fstatat)(directory, path, to, flags);
}

int fstatat64(int directory, const char* path, struct stat64* to, int flags) {
  return fill_ours(path, reinterpret_cast<struct stat*>(to))
             ? 0
             : NEXT(fstatat64)(directory, path, to, flags);
}

}  // extern "C"
