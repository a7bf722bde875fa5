#include "socket_calls.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "process.h"

namespace shunt::exec {

namespace {

const sockaddr_nl kKernelAddress{AF_NETLINK, 0, 0, 0};
/// Longest value of an option.
constexpr size_t kMostValue = 128;
/// As many pieces as a message may have (UIO_MAXIOV).
constexpr size_t kMostPieces = 1024;

/// Writes a value and its size as getsockname() does: what there is room for, and the whole size.
bool write_value(pid_t thread, uint64_t to, uint64_t size_at, const void* value, size_t whole) {
  int room;
  if (!read_memory(thread, size_at, &room, sizeof room) || room < 0) return false;
  const auto size = static_cast<int>(whole);
  return write_memory(thread, to, value, std::min(whole, static_cast<size_t>(room))) &&
         write_memory(thread, size_at, &size, sizeof size);
}

bool write_address(const Call& call, unsigned to, unsigned size_at, const sockaddr_nl& address) {
  return write_value(call.thread(), call.argument(to), call.argument(size_at), &address,
                     sizeof address);
}

/// bind() and connect(), of the kernel's socket.
int name_kernels(const Call& call, GenericSocket& socket) {
  sockaddr_nl address{};
  if (call.integer(2) < static_cast<int>(sizeof address)) return EINVAL;
  if (!read_memory(call.thread(), call.argument(1), &address, sizeof address)) return EFAULT;
  const auto program = credentials_of(call.thread());
  if (!program || !call.is_waiting()) return EPERM;
  if (call.number() == SYS_bind && address.nl_family == AF_NETLINK && address.nl_pid == 0)
    address.nl_pid = socket.bind(process_of(call.thread())).nl_pid;
  Borrowed rights(*program);
  if (!rights) return EPERM;
  return syscall(call.number(), socket.kernel(), &address, sizeof address) == 0 ? 0 : errno;
}

int set_option(const Call& call, GenericSocket& socket) {
  std::array<char, kMostValue> value;
  const auto size = static_cast<socklen_t>(std::clamp(call.integer(4), 0, int{kMostValue}));
  if (!read_memory(call.thread(), call.argument(3), value.data(), size)) return EFAULT;
  const auto program = credentials_of(call.thread());
  if (!program || !call.is_waiting()) return EPERM;
  Borrowed rights(*program);
  if (!rights) return EPERM;
  return setsockopt(socket.kernel(), call.integer(1), call.integer(2), value.data(), size) == 0
             ? 0
             : errno;
}

int get_option(const Call& call, GenericSocket& socket) {
  std::array<char, kMostValue> value;
  socklen_t size;
  if (!read_memory(call.thread(), call.argument(4), &size, sizeof size)) return EFAULT;
  size = std::min<socklen_t>(size, kMostValue);
  if (getsockopt(socket.kernel(), call.integer(1), call.integer(2), value.data(), &size) != 0)
    return errno;
  return write_memory(call.thread(), call.argument(3), value.data(), size) &&
                 write_memory(call.thread(), call.argument(4), &size, sizeof size)
             ? 0
             : EFAULT;
}

/// Where a receive wants its message: the pieces, and the address of its msghdr if it has one.
struct Target {
  std::vector<iovec> pieces;
  msghdr header{};
  uint64_t header_at = 0;
  int flags = 0;
};

bool read_target(const Call& call, Target& target) {
  if (call.number() == SYS_recvfrom) {
    target.flags = call.integer(3);
    iovec piece{nullptr, call.argument(2)};
    const uint64_t at = call.argument(1);
    std::memcpy(&piece.iov_base, &at, sizeof at);
    target.pieces.push_back(piece);
    return true;
  }
  target.flags = call.integer(2);
  target.header_at = call.argument(1);
  if (!read_memory(call.thread(), target.header_at, &target.header, sizeof target.header) ||
      target.header.msg_iovlen > kMostPieces)
    return false;
  target.pieces.resize(target.header.msg_iovlen);
  return read_memory(call.thread(), reinterpret_cast<uintptr_t>(target.header.msg_iov),
                     target.pieces.data(), target.pieces.size() * sizeof(iovec));
}

/// Writes the message and all that is said about it; the bytes that found room, or -1.
ssize_t write_message(const Call& call, Target& target, const char* message, size_t size) {
  size_t done = 0;
  for (const iovec& piece : target.pieces) {
    const size_t now = std::min(piece.iov_len, size - done);
    if (!write_memory(call.thread(), reinterpret_cast<uintptr_t>(piece.iov_base), message + done,
                      now))
      return -1;
    done += now;
  }
  if (!target.header_at) return write_address(call, 4, 5, kKernelAddress) ? ssize_t(done) : -1;
  msghdr& header = target.header;
  if (header.msg_name) {
    const size_t room = std::min<size_t>(header.msg_namelen, sizeof kKernelAddress);
    if (!write_memory(call.thread(), reinterpret_cast<uintptr_t>(header.msg_name), &kKernelAddress,
                      room))
      return -1;
    header.msg_namelen = sizeof kKernelAddress;
  }
  header.msg_controllen = 0;
  header.msg_flags = done < size ? MSG_TRUNC : 0;
  return write_memory(call.thread(), target.header_at, &header, sizeof header) ? ssize_t(done) : -1;
}

}  // namespace

GenericSocket* SocketCalls::find(int fd) const {
  struct stat file;
  if (fd < 0 || fstat(fd, &file) != 0 || !S_ISSOCK(file.st_mode)) return nullptr;
  for (const auto& socket : x_sockets)
    if (socket->program_inode() == file.st_ino) return socket.get();
  return nullptr;
}

void SocketCalls::answer(const Call& call) {
  if (call.number() == SYS_socket) return make(call);
  const int fd = copy_descriptor(call.thread(), call.integer(0));
  GenericSocket* socket = find(fd);
  const auto done = [&call](int error) { error == 0 ? call.succeed(0) : call.fail(error); };
  if (!socket)
    call.leave_to_kernel();  // something else that has such a number
  else if (call.number() == SYS_recvmsg || call.number() == SYS_recvfrom)
    receive(call, fd);
  else if (call.number() == SYS_bind || call.number() == SYS_connect)
    done(name_kernels(call, *socket));
  else if (call.number() == SYS_getsockname)
    done(write_address(call, 1, 2, socket->own_address()) ? 0 : EFAULT);
  else if (call.number() == SYS_getpeername)
    done(write_address(call, 1, 2, kKernelAddress) ? 0 : EFAULT);
  else if (call.number() == SYS_setsockopt)
    done(set_option(call, *socket));
  else if (call.number() == SYS_getsockopt)
    done(get_option(call, *socket));
  else
    copy(call, fd);
  if (fd >= 0) close(fd);
}

void SocketCalls::make(const Call& call) {
  const int type = call.integer(1);
  int program_end = -1;
  auto socket = GenericSocket::open(call.thread(), type, program_end);
  if (!socket) {
    call.fail(errno);
    return;
  }
  give_number(call, program_end, 0, type & SOCK_CLOEXEC);
  close(program_end);
  // One whose call was interrupted has no descriptor now, and is noticed as closed.
  x_sockets.push_back(std::move(socket));
}

/// dup(), and fcntl() that copies.
void SocketCalls::copy(const Call& call, int fd) {
  const bool is_plain = call.number() == SYS_dup;
  give_number(call, fd, is_plain ? 0 : call.integer(2),
              !is_plain && call.integer(1) == F_DUPFD_CLOEXEC);
}

/// From the range's end: where it is in use for other things, it is so from its beginning.
void SocketCalls::give_number(const Call& call, int fd, int least, bool closes_on_exec) {
  const int first = std::max(least, x_numbers.first);
  for (int number = x_numbers.first + SocketNumbers::kCount - 1; number >= first; number--) {
    const int used = copy_descriptor(call.thread(), number);
    if (used >= 0)
      close(used);
    else if (errno == EBADF)
      return void(call.succeed_with_descriptor(fd, number, closes_on_exec));
    else
      return void(call.fail(errno));
  }
  call.fail(EMFILE);
}

void SocketCalls::receive(const Call& call, int fd) {
  if (try_to_receive(call, fd) == Received::kAnswered) return;
  timeval most{};
  socklen_t size = sizeof most;
  getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, &size);
  Waiting waiting{call, find(fd)->program_inode(), std::nullopt};
  if (most.tv_sec != 0 || most.tv_usec != 0)
    waiting.end =
        Clock::now() + std::chrono::seconds(most.tv_sec) + std::chrono::microseconds(most.tv_usec);
  x_waiting.push_back(waiting);
}

SocketCalls::Received SocketCalls::try_to_receive(const Call& call, int fd) {
  Target target;
  if (!read_target(call, target)) return call.fail(EFAULT), Received::kAnswered;
  std::array<char, GenericSocket::kMostMessage> message;
  const int peek = target.flags & MSG_PEEK;
  const ssize_t n = recv(fd, message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC | peek);
  if (n < 0) {
    const bool waits = !(target.flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    if (errno == EAGAIN && waits) return Received::kNothingYet;
    return call.fail(errno), Received::kAnswered;
  }
  const size_t size = std::min(static_cast<size_t>(n), message.size());
  const ssize_t written =
      call.is_waiting() ? write_message(call, target, message.data(), size) : -1;
  const bool has_arrived = written < 0 ? (call.fail(EFAULT), false)
                                       : call.succeed(target.flags & MSG_TRUNC ? n : written);
  if (!has_arrived && !peek) find(fd)->put_back(fd, {message.data(), size});
  return Received::kAnswered;
}

void SocketCalls::wake_waiting() {
  for (auto at = x_waiting.begin(); at != x_waiting.end();) {
    const Waiting& waiting = *at;
    bool is_over = !waiting.call.is_waiting();
    if (!is_over) {
      const int fd = copy_descriptor(waiting.call.thread(), waiting.call.integer(0));
      const GenericSocket* socket = find(fd);
      if (!socket || socket->program_inode() != waiting.socket)
        is_over = waiting.call.fail(EBADF) || true;  // closed by another thread
      else if (try_to_receive(waiting.call, fd) == Received::kAnswered)
        is_over = true;
      else if (waiting.end && Clock::now() >= *waiting.end)
        is_over = waiting.call.fail(EAGAIN) || true;
      if (fd >= 0) close(fd);
    }
    at = is_over ? x_waiting.erase(at) : std::next(at);
  }
}

void SocketCalls::add_to(std::vector<pollfd>& polled) const {
  for (const auto& socket : x_sockets) socket->add_to(polled);
}

void SocketCalls::serve(const pollfd* ready) {
  for (auto at = x_sockets.begin(); at != x_sockets.end(); ready += GenericSocket::kPolled)
    at = (*at)->serve(ready) ? std::next(at) : x_sockets.erase(at);
  wake_waiting();
}

}  // namespace shunt::exec
