#include "credentials.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

namespace shunt::exec {

namespace {

std::string directory_of(pid_t thread) {
  return "/proc/" + std::to_string(thread) + "/";
}

bool is_in_our_user_namespace(pid_t thread) {
  static const struct stat ours = [] {
    struct stat status {};
    stat("/proc/self/ns/user", &status);
    return status;
  }();
  struct stat its;
  return stat((directory_of(thread) + "ns/user").c_str(), &its) == 0 && its.st_ino == ours.st_ino &&
         its.st_dev == ours.st_dev;
}

/// The file /proc/THREAD/status; empty if it cannot be read. This is done for every request.
std::string status_of(pid_t thread) {
  const int file = open((directory_of(thread) + "status").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string text;
  std::array<char, 4096> piece;
  for (ssize_t n; (n = read(file, piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<size_t>(n));
  close(file);
  return text;
}

/// The numbers in a line of such a file.
std::vector<uint64_t> numbers_of(const std::string& status, const std::string& name, int base) {
  std::vector<uint64_t> numbers;
  const size_t begin = status.find("\n" + name + ":");
  if (begin == status.npos) return numbers;
  const char* at = status.c_str() + begin + name.size() + 2;
  const char* end = status.c_str() + std::min(status.find('\n', begin + 1), status.size());
  while (at < end) {
    char* next;
    const uint64_t number = std::strtoull(at, &next, base);
    if (next == at || next > end) break;
    numbers.push_back(number);
    at = next;
  }
  return numbers;
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
  constexpr size_t kForFiles = 3;  // after the real, the effective and the saved one
  const std::string status = status_of(thread);
  const auto users = numbers_of(status, "Uid", 10), groups = numbers_of(status, "Gid", 10);
  const auto capabilities = numbers_of(status, "CapEff", 16);
  if (users.size() <= kForFiles || groups.size() <= kForFiles || capabilities.size() != 1)
    return std::nullopt;
  Credentials found{
      static_cast<uid_t>(users[kForFiles]), static_cast<gid_t>(groups[kForFiles]), {}, 0};
  for (const uint64_t group : numbers_of(status, "Groups", 10))
    found.groups.push_back(static_cast<gid_t>(group));
  if (is_in_our_user_namespace(thread)) found.capabilities = capabilities[0];
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
