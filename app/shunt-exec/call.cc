#include "call.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace shunt::exec {

bool Call::is_waiting() const {
  return seccomp_notify_id_valid(x_listener, x_received.id) == 0;
}

bool Call::respond(int64_t value, int error, uint32_t flags) const {
  seccomp_notif_resp response{};
  response.id = x_received.id;
  response.val = value;
  response.error = -error;
  response.flags = flags;
  return ioctl(x_listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Call::leave_to_kernel() const {
  return respond(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

bool Call::succeed(int64_t value) const {
  return respond(value, 0, 0);
}

bool Call::fail(int error) const {
  return respond(0, error, 0);
}

bool Call::succeed_with_descriptor(int fd, int number, bool closes_on_exec) const {
  seccomp_notif_addfd added{};
  added.id = x_received.id;
  added.srcfd = static_cast<uint32_t>(fd);
  added.newfd_flags = closes_on_exec ? O_CLOEXEC : 0;
  added.flags = SECCOMP_ADDFD_FLAG_SEND;
  if (number >= 0) {
    added.flags |= SECCOMP_ADDFD_FLAG_SETFD;
    added.newfd = static_cast<uint32_t>(number);
  }
  if (ioctl(x_listener, SECCOMP_IOCTL_NOTIF_ADDFD, &added) >= 0) return true;
  if (errno != ENOENT && errno != EINPROGRESS) fail(errno == EBADF ? EMFILE : errno);
  return false;
}

}  // namespace shunt::exec
