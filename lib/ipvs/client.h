// The client's end of the control socket.
//
// Invariant: a request is sent and its reply awaited before the next. Callers: shuntadm, shunt.
#pragma once

#include <string>

#include "base/result.h"
#include "ipvs/protocol.h"

namespace shunt::ipvs {

/// Where the daemon listens unless told otherwise.
inline constexpr const char* kDefaultSocket = "/run/shunt/shunt.sock";

class Client {
 public:
  /// Does not connect yet.
  explicit Client(std::string path) : x_path(std::move(path)) {}
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Connects the first time. Errors are one sentence that names the socket, status 2.
  Result<Reply> exchange(const Request& request);

 private:
  Result<void> connect();
  Result<void> send(const std::string& line);
  Result<std::string> receive();
  Error failed(const std::string& what) const;

  std::string x_path;
  int x_fd = -1;
  std::string x_received;
};

}  // namespace shunt::ipvs
