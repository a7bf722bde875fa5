// Who a supervised program is, and doing something with its rights instead of our own: what the
// supervisor asks of the kernel and of the daemon for a program must not succeed when the program
// itself may not do it, such as after it has changed its user.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace shunt::exec {

struct Credentials {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;
  uint64_t capabilities = 0;  ///< effective; none, if they are those of another user namespace

  bool operator==(const Credentials&) const = default;
};

/// Those of a process or thread that count for access to files; nothing if it has gone.
std::optional<Credentials> credentials_of(pid_t thread);

/// While it lives, the calling thread has these credentials, and no capability that it had not
/// before.
class Borrowed {
 public:
  explicit Borrowed(const Credentials& credentials);
  ~Borrowed();
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  /// False: the thread may not take them on, and has its own.
  explicit operator bool() const { return x_is_good; }

 private:
  void give_back();

  bool x_has_changed = false, x_is_good = true;
};

}  // namespace shunt::exec
