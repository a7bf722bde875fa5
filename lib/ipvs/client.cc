#include "ipvs/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace shunt::ipvs {

Client::~Client() {
  if (x_fd >= 0) close(x_fd);
}

Error Client::failed(const std::string& what) const {
  return {what + " " + x_path + ": " + std::strerror(errno), 2};
}

Result<void> Client::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (x_path.size() >= sizeof address.sun_path)
    return Error{"cannot reach shuntd at " + x_path + ": the path is too long for a socket", 2};
  std::memcpy(address.sun_path, x_path.data(), x_path.size());
  x_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (x_fd >= 0 &&
      ::connect(x_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return {};
  Error error = failed("cannot reach shuntd at");
  if (errno == ENOENT || errno == ECONNREFUSED)
    error.message += "; start it, or name its socket with --socket";
  return error;
}

Result<void> Client::send(const std::string& line) {
  for (size_t sent = 0; sent < line.size();) {
    ssize_t n = ::send(x_fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot send to shuntd at");
    sent += static_cast<size_t>(n);
  }
  return {};
}

Result<std::string> Client::receive() {
  for (size_t searched = 0;;) {
    size_t end = x_received.find('\n', searched);
    if (end != x_received.npos) {
      std::string rest = x_received.substr(end + 1);
      x_received.resize(end);
      return std::exchange(x_received, std::move(rest));
    }
    searched = x_received.size();
    char bytes[65536];
    ssize_t n = read(x_fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot hear from shuntd at");
    if (n == 0) return Error{"shuntd at " + x_path + " closed the connection without an answer", 2};
    x_received.append(bytes, static_cast<size_t>(n));
  }
}

Result<Reply> Client::exchange(const Request& request) {
  if (x_fd < 0)
    if (auto connected = connect(); !connected) return connected.error();
  std::string line = encode(request) + "\n";
  if (line.size() > kMaxRequest)
    return Error{"too much for one request to shuntd: " + std::to_string(line.size()) +
                     " bytes, at most " + std::to_string(kMaxRequest),
                 2};
  auto sent = send(line);
  // A daemon that refuses says why before it closes.
  auto answer = receive();
  if (!answer) return sent ? answer.error() : sent.error();
  auto reply = decode_reply(*answer);
  if (!reply) return Error{"shuntd at " + x_path + " answered with a " + reply.error().message, 2};
  return reply;
}

}  // namespace shunt::ipvs
