#include "process.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace shunt::exec {

namespace {

/// PIDFD_THREAD, since Linux 6.9.
constexpr unsigned kAnyThread = O_EXCL;

void* remote(uint64_t address) {
  void* pointer;
  static_assert(sizeof pointer == sizeof address);
  std::memcpy(&pointer, &address, sizeof pointer);
  return pointer;
}

/// A descriptor for the process of a thread.
int open_process(pid_t thread) {
  long fd = syscall(SYS_pidfd_open, thread, kAnyThread);
  if (fd < 0 && errno == EINVAL) fd = syscall(SYS_pidfd_open, process_of(thread), 0);
  return static_cast<int>(fd);
}

}  // namespace

pid_t process_of(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("Tgid:"))
      return static_cast<pid_t>(std::strtol(line.c_str() + 5, nullptr, 10));
  return 0;
}

bool read_memory(pid_t thread, uint64_t from, void* to, size_t size) {
  const iovec ours{to, size}, its{remote(from), size};
  if (size == 0) return true;
  const ssize_t n = process_vm_readv(thread, &ours, 1, &its, 1, 0);
  if (n >= 0 && n != static_cast<ssize_t>(size)) errno = EFAULT;
  return n == static_cast<ssize_t>(size);
}

bool write_memory(pid_t thread, uint64_t to, const void* from, size_t size) {
  const iovec ours{const_cast<void*>(from), size}, its{remote(to), size};
  if (size == 0) return true;
  const ssize_t n = process_vm_writev(thread, &ours, 1, &its, 1, 0);
  if (n >= 0 && n != static_cast<ssize_t>(size)) errno = EFAULT;
  return n == static_cast<ssize_t>(size);
}

std::string read_string(pid_t thread, uint64_t from, size_t most) {
  constexpr size_t kPage = 4096;
  std::string text;
  while (text.size() < most) {
    // A string may end right before a page that is not there.
    std::array<char, kPage> piece;
    const size_t size = std::min(kPage - from % kPage, most - text.size());
    if (!read_memory(thread, from, piece.data(), size)) return "";
    const size_t length = strnlen(piece.data(), size);
    text.append(piece.data(), length);
    if (length < size) break;
    from += size;
  }
  return text;
}

int copy_descriptor(pid_t thread, int number) {
  const int process = open_process(thread);
  if (process < 0) return -1;
  const int copy = static_cast<int>(syscall(SYS_pidfd_getfd, process, number, 0));
  const int error = errno;
  close(process);
  errno = error;
  return copy;
}

}  // namespace shunt::exec
