#include "control/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace shunt::control {
namespace {

constexpr size_t kReceiveBytes = 32768;        // the kernel fills dumps up to this (netlink(7))
constexpr int kSocketBytes = 8 * 1024 * 1024;  // a burst of some ten thousand route changes

Error failed(const char* what, int number) {
  return {std::string(what) + " failed: " + std::strerror(number) +
          (number == EPERM ? " (it needs CAP_NET_ADMIN)" : "")};
}

}  // namespace

Result<Netlink> Netlink::open(const std::vector<int>& groups) {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (!socket) return failed("opening an rtnetlink socket", errno);
  Netlink netlink(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
    return failed("binding an rtnetlink socket", errno);
  for (int group : groups)
    if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
      return failed("subscribing to rtnetlink", errno);
  // Forcing needs CAP_NET_ADMIN; without it the overrun is handled all the same, only more often.
  if (setsockopt(netlink.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof kSocketBytes) < 0)
    setsockopt(netlink.fd(), SOL_SOCKET, SO_RCVBUF, &kSocketBytes, sizeof kSocketBytes);
  return netlink;
}

Netlink::Netlink(Netlink&& other) noexcept
    : x_socket(std::exchange(other.x_socket, nullptr)), x_sequence(other.x_sequence) {}

Netlink& Netlink::operator=(Netlink&& other) noexcept {
  std::swap(x_socket, other.x_socket);
  std::swap(x_sequence, other.x_sequence);
  return *this;
}

Netlink::~Netlink() {
  if (x_socket) mnl_socket_close(x_socket);
}

int Netlink::fd() const {
  return mnl_socket_get_fd(x_socket);
}

Result<void> Netlink::send(nlmsghdr* request, const char* what) {
  request->nlmsg_flags |= NLM_F_REQUEST;
  request->nlmsg_seq = ++x_sequence;
  ssize_t sent;
  do {
    sent = mnl_socket_sendto(x_socket, request, request->nlmsg_len);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return failed(what, errno);
  return {};
}

Result<bool> Netlink::ask(nlmsghdr* request, const char* what, const OnMessage& on_message) {
  if (!(request->nlmsg_flags & NLM_F_DUMP)) request->nlmsg_flags |= NLM_F_ACK;
  if (auto sent = send(request, what); !sent) return sent.error();
  alignas(nlmsghdr) std::array<char, kReceiveBytes> buffer;
  bool consistent = true;
  for (;;) {
    ssize_t size = recv(fd(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed(what, errno);
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != x_sequence) continue;  // the tail of an answer not read to its end
      if (message->nlmsg_flags & NLM_F_DUMP_INTR) consistent = false;
      if (message->nlmsg_type == NLMSG_DONE) return consistent;
      if (message->nlmsg_type == NLMSG_ERROR) {
        const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
        if (error->error == 0) return consistent;
        return failed(what, -error->error);
      }
      on_message(*message);
    }
  }
}

Netlink::Drained Netlink::drain(const OnMessage& on_message) {
  alignas(nlmsghdr) std::array<char, kReceiveBytes> buffer;
  Drained drained = Drained::kAll;
  for (;;) {
    ssize_t size = recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      drained = Drained::kOverrun;
      continue;
    }
    if (size <= 0) return drained;
    if (drained == Drained::kOverrun) continue;
    int left = static_cast<int>(size);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
      on_message(*message);
  }
}

}  // namespace shunt::control
