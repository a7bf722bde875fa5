#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <initializer_list>

#include "compat/wire.h"
#include "daemon.h"
#include "messages.h"

namespace shunt::exec {

namespace {

constexpr int kMostDescriptors = 1024;

struct Slot {
  enum Kind : unsigned char { kOther, kKernels, kDaemons, kNobodys, kOurs } kind;
  bool is_waiting;   ///< for an answer to `request`
  int kernels;       ///< a copy of the program's own socket while it is diverted
  int far_end;       ///< kNobodys: where answers are put
  nlmsghdr request;  ///< the last one that was diverted
  uid_t user;        ///< kDaemons: who connected
};
Slot slots[kMostDescriptors];

Slot* slot_of(int fd) {
  return fd >= 0 && fd < kMostDescriptors ? &slots[fd] : nullptr;
}

uid_t user_now() {
  return static_cast<uid_t>(syscall(SYS_geteuid));
}

bool is_diverted(const Slot& slot) {
  return slot.kind == Slot::kDaemons || slot.kind == Slot::kNobodys;
}

void mark_ours(int fd) {
  if (Slot* slot = slot_of(fd)) *slot = {Slot::kOurs, false, -1, -1, {}, 0};
}

void close_ours(int& fd) {
  if (fd < 0) return;
  if (Slot* slot = slot_of(fd)) slot->kind = Slot::kOther;
  syscall(SYS_close, fd);
  fd = -1;
}

/// Puts `socket` under the number `fd`, with what the program asked of its own. Closes `socket`.
bool put_under(int fd, int socket) {
  const long status = syscall(SYS_fcntl, fd, F_GETFL), closes = syscall(SYS_fcntl, fd, F_GETFD);
  if (status >= 0 && (status & O_NONBLOCK)) syscall(SYS_fcntl, socket, F_SETFL, O_NONBLOCK);
  for (int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    char value[32];
    socklen_t size = sizeof value;
    if (syscall(SYS_getsockopt, fd, SOL_SOCKET, option, value, &size) == 0)
      syscall(SYS_setsockopt, socket, SOL_SOCKET, option, value, size);
  }
  const bool done =
      syscall(SYS_dup3, socket, fd, closes > 0 && (closes & FD_CLOEXEC) ? O_CLOEXEC : 0) >= 0;
  syscall(SYS_close, socket);
  return done;
}

/// The program's own socket is kept while another is under its number.
bool keep_kernels(int fd, Slot& slot) {
  if (slot.kernels >= 0) return true;
  const long copy = syscall(SYS_dup, fd);
  slot.kernels = copy < 0 ? -1 : move_away(static_cast<int>(copy));
  if (slot.kernels >= 0) mark_ours(slot.kernels);
  return slot.kernels >= 0;
}

void give_back(int fd, Slot& slot) {
  if (slot.kernels >= 0) {
    const long closes = syscall(SYS_fcntl, fd, F_GETFD);
    syscall(SYS_dup3, slot.kernels, fd, closes > 0 && (closes & FD_CLOEXEC) ? O_CLOEXEC : 0);
  }
  close_ours(slot.kernels);
  close_ours(slot.far_end);
  slot.kind = Slot::kKernels;
  slot.is_waiting = false;
}

bool divert_to_daemon(int fd, Slot& slot) {
  const int daemon = connect_to_daemon();
  if (daemon < 0) return false;
  if (!keep_kernels(fd, slot) || !put_under(fd, daemon)) return false;
  close_ours(slot.far_end);
  slot.kind = Slot::kDaemons;
  slot.user = user_now();
  slot.is_waiting = false;
  return true;
}

bool divert_to_nobody(int fd, Slot& slot) {
  if (slot.kind == Slot::kNobodys) return true;
  int ends[2];
  if (syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  slot.far_end = move_away(ends[1]);
  mark_ours(slot.far_end);
  if (!keep_kernels(fd, slot) || !put_under(fd, ends[0])) return false;
  slot.kind = Slot::kNobodys;
  return true;
}

void put(Slot& slot, const Answer& answer) {
  send_all(slot.far_end, answer.bytes, answer.size);
  slot.is_waiting = false;
}

/// Answers what the daemon does not hear.
void answer_alone(int fd, Slot& slot, int reason) {
  if (!divert_to_nobody(fd, slot)) return;
  const Answers answers = answers_without_daemon(slot.request, reason);
  for (size_t i = 0; i < answers.count; i++) put(slot, answers.all[i]);
}

}  // namespace

void note_socket(int fd, int domain, int protocol) {
  Slot* slot = slot_of(fd);
  if (!slot) return;
  const bool is_generic = domain == AF_NETLINK && protocol == NETLINK_GENERIC;
  *slot = {is_generic ? Slot::kKernels : Slot::kOther, false, -1, -1, {}, 0};
}

void note_copy(int fd, int copy) {
  Slot *slot = slot_of(fd), *other = slot_of(copy);
  if (!other || fd == copy) return;
  note_close(copy);
  if (!slot || slot->kind == Slot::kOther || slot->kind == Slot::kOurs) return;
  *other = {slot->kind, false, -1, -1, slot->request, slot->user};
  if (!exec::is_diverted(fd)) return;
  other->kernels = move_away(static_cast<int>(syscall(SYS_dup, slot->kernels)));
  mark_ours(other->kernels);
}

bool note_close(int fd) {
  Slot* slot = slot_of(fd);
  if (!slot || slot->kind == Slot::kOther) return true;
  if (slot->kind == Slot::kOurs) return false;
  const int error = errno;
  close_ours(slot->kernels);
  close_ours(slot->far_end);
  *slot = {};
  errno = error;
  return true;
}

bool is_watched(int fd) {
  const Slot* slot = slot_of(fd);
  return slot && slot->kind != Slot::kOther && slot->kind != Slot::kOurs;
}

bool is_diverted(int fd) {
  const Slot* slot = slot_of(fd);
  return slot && is_diverted(*slot);
}

bool divert(int fd, const iovec* pieces, size_t count, int flags, ssize_t& sent) {
  Slot& slot = slots[fd];
  char message[compat::kMostRequest];
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].iov_len > sizeof message - size) {
      if (is_diverted(slot)) give_back(fd, slot);
      return false;
    }
    memcpy(message + size, pieces[i].iov_base, pieces[i].iov_len);
    size += pieces[i].iov_len;
  }
  nlmsghdr header;
  if (size >= sizeof header) memcpy(&header, message, sizeof header);
  if (size < sizeof header || !is_for_ipvs(message, size)) {
    if (is_diverted(slot)) give_back(fd, slot);
    return false;
  }
  // The kernel answers with the socket's own number, whatever a request says.
  sockaddr_nl own{};
  socklen_t own_size = sizeof own;
  const int kernels = kernels_socket(fd);
  syscall(SYS_getsockname, kernels, &own, &own_size);
  if (own.nl_pid == 0) {
    // The first message binds a netlink socket.
    own = {AF_NETLINK, 0, 0, 0};
    syscall(SYS_bind, kernels, &own, sizeof own);
    syscall(SYS_getsockname, kernels, &own, &own_size);
  }
  if (own.nl_pid != 0) header.nlmsg_pid = own.nl_pid;
  memcpy(message, &header, sizeof header);
  slot.request = header;
  sent = static_cast<ssize_t>(size);
  int reason = 0;
  // The daemon gave the connection to the user that the process was then.
  if (slot.kind == Slot::kDaemons && slot.user != user_now()) slot.kind = Slot::kKernels;
  for (int attempt = 0; attempt < 2; attempt++) {
    if (slot.kind != Slot::kDaemons && !divert_to_daemon(fd, slot)) {
      reason = errno;
      break;
    }
    const long n = syscall(SYS_sendto, fd, message, size, flags | MSG_NOSIGNAL, nullptr, 0);
    if (n < 0 && is_lost(errno)) {
      // It was restarted since the last request: this one is for its successor.
      reason = errno;
      slot.kind = Slot::kKernels;
      continue;
    }
    slot.is_waiting = n >= 0;
    if (n < 0) sent = -1;
    return true;
  }
  answer_alone(fd, slot, reason);
  return true;
}

bool look_at_answer(int fd, const void* data, ssize_t n, int flags) {
  Slot& slot = slots[fd];
  nlmsghdr header;
  if (slot.kind != Slot::kDaemons) return false;
  if (n >= static_cast<ssize_t>(sizeof header)) {
    if (flags & MSG_PEEK) return false;
    memcpy(&header, data, sizeof header);
    if (is_last_answer(header, slot.request)) slot.is_waiting = false;
    return false;
  }
  // The daemon has gone. A netlink socket knows no end: without a request it only waits.
  if (n > 0 || (n < 0 && !is_lost(errno))) return false;
  const bool was_waiting = slot.is_waiting;
  if (!divert_to_nobody(fd, slot)) return false;
  if (was_waiting) put(slot, error_answer(slot.request, ECONNRESET));
  return true;
}

int kernels_socket(int fd) {
  const Slot* slot = slot_of(fd);
  return slot && slot->kernels >= 0 ? slot->kernels : fd;
}

}  // namespace shunt::exec
