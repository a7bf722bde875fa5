#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <initializer_list>

#include "compat/wire.h"
#include "daemon.h"

namespace shunt::exec {

namespace {

constexpr int kMostDescriptors = 1024;

struct Slot {
  enum Kind : unsigned char { kOther, kKernels, kDaemons, kNobodys, kOurs } kind;
  bool is_waiting;   ///< for an answer to `request`
  int kernels;       ///< a copy of the program's own socket while it is diverted
  int far_end;       ///< kNobodys: where answers are put
  nlmsghdr request;  ///< the last one that was diverted
};
Slot slots[kMostDescriptors];

Slot* slot_of(int fd) {
  return fd >= 0 && fd < kMostDescriptors ? &slots[fd] : nullptr;
}

bool is_diverted(const Slot& slot) {
  return slot.kind == Slot::kDaemons || slot.kind == Slot::kNobodys;
}

void mark_ours(int fd) {
  if (Slot* slot = slot_of(fd)) *slot = {Slot::kOurs, false, -1, -1, {}};
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

/// NLMSG_ERROR about the request that waits, in the place of the daemon's answer.
void put_error(Slot& slot, int error) {
  struct {
    nlmsghdr header;
    nlmsgerr body;
  } answer{};
  answer.header = {sizeof answer, NLMSG_ERROR, 0, slot.request.nlmsg_seq, slot.request.nlmsg_pid};
  answer.body = {-error, slot.request};
  send_all(slot.far_end, &answer, sizeof answer);
  slot.is_waiting = false;
}

/// The family's number, for a program that may ask for it and nothing else.
void put_family(Slot& slot) {
  struct {
    nlmsghdr header;
    genlmsghdr genl;
    nlattr name;
    char text[8];
    nlattr id;
    uint16_t number, zero;
  } answer{};
  answer.header = {sizeof answer, GENL_ID_CTRL, 0, slot.request.nlmsg_seq, slot.request.nlmsg_pid};
  answer.genl = {CTRL_CMD_NEWFAMILY, 2, 0};
  answer.name = {sizeof(nlattr) + sizeof IPVS_GENL_NAME, CTRL_ATTR_FAMILY_NAME};
  strcpy(answer.text, IPVS_GENL_NAME);
  answer.id = {sizeof(nlattr) + sizeof answer.number, CTRL_ATTR_FAMILY_ID};
  answer.number = compat::kFamilyId;
  send_all(slot.far_end, &answer, sizeof answer);
}

/// Does the controller's question name the family "IPVS"?
bool asks_for_ipvs(const char* message, size_t size) {
  size_t at = NLMSG_HDRLEN + GENL_HDRLEN;
  if (size < at || message[NLMSG_HDRLEN] != CTRL_CMD_GETFAMILY) return false;
  while (at + sizeof(nlattr) <= size) {
    nlattr attribute;
    memcpy(&attribute, message + at, sizeof attribute);
    if (attribute.nla_len < sizeof attribute || attribute.nla_len > size - at) return false;
    const char* payload = message + at + sizeof attribute;
    const size_t length = attribute.nla_len - sizeof attribute;
    if (attribute.nla_type == CTRL_ATTR_FAMILY_NAME)
      return length == sizeof IPVS_GENL_NAME && memcmp(payload, IPVS_GENL_NAME, length) == 0;
    uint16_t id;
    if (attribute.nla_type == CTRL_ATTR_FAMILY_ID && length >= sizeof id) {
      memcpy(&id, payload, sizeof id);
      return id == compat::kFamilyId;
    }
    at += (attribute.nla_len + size_t{3}) & ~size_t{3};
  }
  return false;
}

bool is_for_ipvs(const char* message, size_t size, const nlmsghdr& header) {
  if (header.nlmsg_type == compat::kFamilyId) return true;
  return header.nlmsg_type == GENL_ID_CTRL && asks_for_ipvs(message, size);
}

/// Answers with an error what the daemon does not hear: why it could not be reached tells which.
void answer_alone(int fd, Slot& slot, int reason) {
  if (!divert_to_nobody(fd, slot)) return;
  const bool is_forbidden = reason == EACCES || reason == EPERM;
  if (slot.request.nlmsg_type != GENL_ID_CTRL) {
    put_error(slot, is_forbidden ? EPERM : ECONNREFUSED);
  } else if (is_forbidden) {
    // Anybody may ask the kernel for the family; its commands are for the administrator.
    put_family(slot);
    put_error(slot, 0);
  } else {
    put_error(slot, ENOENT);
  }
}

bool is_lost(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED;
}

}  // namespace

void note_socket(int fd, int domain, int protocol) {
  Slot* slot = slot_of(fd);
  if (!slot) return;
  const bool is_generic = domain == AF_NETLINK && protocol == NETLINK_GENERIC;
  *slot = {is_generic ? Slot::kKernels : Slot::kOther, false, -1, -1, {}};
}

void note_copy(int fd, int copy) {
  Slot *slot = slot_of(fd), *other = slot_of(copy);
  if (!other || fd == copy) return;
  note_close(copy);
  if (!slot || slot->kind == Slot::kOther || slot->kind == Slot::kOurs) return;
  *other = {slot->kind, false, -1, -1, slot->request};
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
  if (size < sizeof header || !is_for_ipvs(message, size, header)) {
    if (is_diverted(slot)) give_back(fd, slot);
    return false;
  }
  // The kernel answers with the socket's own number, whatever a request says.
  sockaddr_nl own{};
  socklen_t own_size = sizeof own;
  if (own_address(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 && own.nl_pid != 0)
    header.nlmsg_pid = own.nl_pid;
  memcpy(message, &header, sizeof header);
  slot.request = header;
  sent = static_cast<ssize_t>(size);
  int reason = 0;
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
    const bool is_last = header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE ||
                         !(slot.request.nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP));
    if (is_last) slot.is_waiting = false;
    return false;
  }
  // The daemon has gone. A netlink socket knows no end: without a request it only waits.
  if (n > 0 || (n < 0 && !is_lost(errno))) return false;
  const bool was_waiting = slot.is_waiting;
  if (!divert_to_nobody(fd, slot)) return false;
  if (was_waiting) put_error(slot, ECONNRESET);
  return true;
}

int own_address(int fd, sockaddr* address, socklen_t* size) {
  const Slot* slot = slot_of(fd);
  const int kernels = slot && slot->kernels >= 0 ? slot->kernels : fd;
  return static_cast<int>(syscall(SYS_getsockname, kernels, address, size));
}

}  // namespace shunt::exec
