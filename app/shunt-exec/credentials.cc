#include "credentials.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace shunt::exec {

namespace {

std::string directory_of(pid_t thread) {
  return "/proc/" + std::to_string(thread) + "/";
}

bool is_in_our_user_namespace(pid_t thread) {
  struct stat its, ours;
  return stat((directory_of(thread) + "ns/user").c_str(), &its) == 0 &&
         stat("/proc/self/ns/user", &ours) == 0 && its.st_ino == ours.st_ino &&
         its.st_dev == ours.st_dev;
}

/// Those of the supervisor, which never change for good.
const std::optional<Credentials>& own_credentials() {
  static const std::optional<Credentials> own = credentials_of(getpid());
  return own;
}

/// Sets the effective capabilities of this thread to those of `wanted` that it is permitted.
bool set_effective(uint64_t wanted) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return false;
  for (unsigned i = 0; i < 2; i++)
    data[i].effective = static_cast<uint32_t>(wanted >> (32 * i)) & data[i].permitted;
  return syscall(SYS_capset, &header, data) == 0;
}

// The C library's setgroups() changes all threads; the system call changes this one.
bool set_groups(const std::vector<gid_t>& groups) {
  return syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

bool set_ids(const Credentials& to) {
  constexpr auto kNone = static_cast<unsigned>(-1);  // changes nothing, and tells the present one
  setfsgid(to.group);
  setfsuid(to.user);
  return static_cast<gid_t>(setfsgid(kNone)) == to.group &&
         static_cast<uid_t>(setfsuid(kNone)) == to.user;
}

}  // namespace

std::optional<Credentials> credentials_of(pid_t thread) {
  std::ifstream file(directory_of(thread) + "status");
  Credentials found;
  bool is_whole = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    unsigned real, effective, saved, id;
    words >> name;
    if (name == "Uid:") words >> real >> effective >> saved >> found.user;
    if (name == "Gid:") words >> real >> effective >> saved >> found.group;
    if (name == "Groups:")
      while (words >> id) found.groups.push_back(id);
    if (name == "CapEff:") is_whole = static_cast<bool>(words >> std::hex >> found.capabilities);
  }
  if (!is_whole) return std::nullopt;
  if (!is_in_our_user_namespace(thread)) found.capabilities = 0;
  return found;
}

Borrowed::Borrowed(const Credentials& credentials) {
  const auto& own = own_credentials();
  if (!own) x_is_good = false;
  if (!own || *own == credentials) return;
  x_has_changed = true;
  x_is_good = (own->groups == credentials.groups || set_groups(credentials.groups)) &&
              set_ids(credentials) && set_effective(credentials.capabilities & own->capabilities);
  if (!x_is_good) give_back();
}

Borrowed::~Borrowed() {
  if (x_has_changed) give_back();
}

void Borrowed::give_back() {
  x_has_changed = false;
  const Credentials& own = *own_credentials();
  // Capabilities first, which the rest needs; and last, since a change of the user takes some away.
  // With other rights than its own the supervisor must not go on.
  if (!set_effective(own.capabilities) || !set_ids(own) || !set_effective(own.capabilities))
    std::abort();
  if (own.capabilities & (uint64_t{1} << CAP_SETGID))
    if (!set_groups(own.groups)) std::abort();
}

}  // namespace shunt::exec
