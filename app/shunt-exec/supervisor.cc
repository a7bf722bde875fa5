#include "supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "call.h"
#include "file_calls.h"
#include "filter.h"
#include "socket_calls.h"

// Since Linux 6.6: the two processes take turns on one CPU, as a call and its return do.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace shunt::exec {

namespace {

/// How often receives that wait are looked at: whether their time is over, or they were
/// interrupted.
constexpr int kLookMs = 50;

void supervise(int listener, const SocketNumbers& numbers) {
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  seccomp_notif* received = nullptr;
  if (seccomp_notify_alloc(&received, nullptr) != 0) return;
  SocketCalls sockets(numbers);
  std::vector<pollfd> polled;
  for (;;) {
    polled.assign(1, {listener, POLLIN, 0});
    sockets.add_to(polled);
    if (poll(polled.data(), polled.size(), sockets.has_waiting() ? kLookMs : -1) < 0) continue;
    sockets.serve(polled.data() + 1);
    if (polled[0].revents & POLLIN) {
      std::memset(received, 0, sizeof *received);  // as the kernel demands
      if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, received) != 0) {
        if (errno == ENOENT || errno == EINTR) continue;  // the call was interrupted meanwhile
        return;
      }
      const Call call(listener, *received);
      if (is_file_call(call))
        answer_file_call(call);
      else
        sockets.answer(call);
    } else if (polled[0].revents) {
      return;  // nobody is behind the filter any more
    }
  }
}

/// A descriptor that the other end sends; -1: it has ended without.
int receive_descriptor(int from) {
  char byte;
  iovec piece{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{nullptr, 0, &piece, 1, control, sizeof control, 0};
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const cmsghdr* sent = CMSG_FIRSTHDR(&message);
  int fd = -1;
  if (sent && sent->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(sent), sizeof fd);
  return fd;
}

bool send_descriptor(int to, int fd) {
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)]{};
  msghdr message{nullptr, 0, &piece, 1, control, sizeof control, 0};
  cmsghdr* sent = CMSG_FIRSTHDR(&message);
  sent->cmsg_level = SOL_SOCKET;
  sent->cmsg_type = SCM_RIGHTS;
  sent->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(sent), &fd, sizeof fd);
  return sendmsg(to, &message, MSG_NOSIGNAL) == 1;
}

/// Leaves behind all that this process has of the program's: nothing shall wait for its end.
void detach(int kept) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  setsid();
  // A socket of the program takes three descriptors here, and it may have many processes.
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  if (chdir("/") != 0) _exit(1);
  prctl(PR_SET_NAME, "shunt-exec");
  const int null = open("/dev/null", O_RDWR);
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, stream);
  if (kept != 3) dup2(kept, 3);
  close_range(4, ~0u, 0);
}

[[noreturn]] void run_supervisor(int from_program, const SocketNumbers& numbers) {
  detach(from_program);
  const pid_t own = getpid();
  if (send(3, &own, sizeof own, MSG_NOSIGNAL) != sizeof own) _exit(1);
  const int listener = receive_descriptor(3);
  close(3);
  if (listener >= 0) supervise(listener, numbers);
  _exit(0);
}

}  // namespace

Result<void> start_supervisor() {
  const auto failed = [](const std::string& what) {
    return Error{what + ": " + std::strerror(errno), 126};
  };
  const auto numbers = choose_socket_numbers();
  if (!numbers) return numbers.error();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return failed("a socket pair cannot be made");
  // Before the filter, which the supervisor must not be behind. A child of a child: the program
  // shall have none that it has not made.
  const pid_t child = fork();
  if (child < 0) return failed("the supervisor cannot be started");
  if (child == 0) {
    const pid_t supervisor = fork();
    if (supervisor == 0) run_supervisor(ends[1], *numbers);
    _exit(supervisor < 0 ? errno : 0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  close(ends[1]);
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
  if (status != 0) return failed("the supervisor cannot be started");
  pid_t supervisor = 0;
  if (recv(ends[0], &supervisor, sizeof supervisor, MSG_WAITALL) != sizeof supervisor)
    return failed("the supervisor has ended");
  // It reads and writes this process's memory without being its parent, which Yama may forbid.
  prctl(PR_SET_PTRACER, supervisor, 0, 0, 0);
  const auto listener = install_filter(*numbers);
  if (!listener) return listener.error();
  if (!send_descriptor(ends[0], *listener)) return failed("the supervisor has ended");
  close(*listener);
  close(ends[0]);
  return {};
}

}  // namespace shunt::exec
