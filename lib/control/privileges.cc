#include "control/privileges.h"

#include <dirent.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <thread>

namespace shunt::control {
namespace {

constexpr uint64_t kKept = uint64_t{1} << CAP_NET_ADMIN | uint64_t{1} << CAP_NET_RAW;
/// Asks a thread to give up its own: the kernel lets nobody else do it.
const int kSignal = SIGRTMAX - 2;
std::atomic<int> x_done;   ///< threads that gave up theirs
std::atomic<int> x_error;  ///< why one could not, or 0

struct Sets {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};

bool read_sets(Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  sets.effective = data[0].effective | uint64_t{data[1].effective} << 32;
  sets.permitted = data[0].permitted | uint64_t{data[1].permitted} << 32;
  sets.inheritable = data[0].inheritable | uint64_t{data[1].inheritable} << 32;
  return true;
}

bool write_sets(const Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (int i = 0; i < 2; i++) {
    data[i].effective = static_cast<uint32_t>(sets.effective >> 32 * i);
    data[i].permitted = static_cast<uint32_t>(sets.permitted >> 32 * i);
    data[i].inheritable = static_cast<uint32_t>(sets.inheritable >> 32 * i);
  }
  return syscall(SYS_capset, &header, data) == 0;
}

/// Of the calling thread. Only system calls: it runs in a signal handler.
bool keep_own() {
  Sets sets;
  if (!read_sets(sets)) return false;
  // What is started as root gets all that is in the bounding set. Without CAP_SETPCAP, which the
  // unit does not give, that set is as it was given.
  if (sets.effective >> CAP_SETPCAP & 1)
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
      if (!(kKept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) return false;
  sets.permitted &= kKept;
  sets.effective = sets.inheritable = sets.permitted;
  if (!write_sets(sets)) return false;
  // Ambient ones are those that a program gets which is started without being root.
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int cap : {CAP_NET_ADMIN, CAP_NET_RAW})
    if (sets.permitted >> cap & 1) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
  return true;
}

void on_signal(int) {
  const int saved = errno;
  if (!keep_own()) x_error = errno;
  x_done++;
  errno = saved;
}

/// Asks every other thread, and waits for all of them.
Result<void> keep_others() {
  struct sigaction action {
  }, before{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(kSignal, &action, &before);
  const pid_t process = getpid();
  const auto own = static_cast<pid_t>(syscall(SYS_gettid));
  int asked = 0;
  std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), closedir);
  if (!tasks) return Error{std::string("cannot list own threads: ") + std::strerror(errno)};
  while (const dirent* entry = readdir(tasks.get())) {
    const int thread = std::atoi(entry->d_name);
    if (thread == 0 || thread == own) continue;
    if (syscall(SYS_tgkill, process, thread, kSignal) == 0) asked++;
  }
  while (x_done < asked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  sigaction(kSignal, &before, nullptr);
  if (x_error != 0)
    return Error{std::string("a thread cannot give up its capabilities: ") +
                 std::strerror(x_error)};
  return {};
}

}  // namespace

Result<void> keep_network_capabilities() {
  x_done = x_error = 0;
  // Rings of packet sockets are locked in memory, also those of a port that returns. Who may not
  // raise this has had it from the unit.
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
  if (!keep_own())
    return Error{std::string("cannot give up capabilities: ") + std::strerror(errno)};
  return keep_others();
}

std::string capabilities_text() {
  static constexpr const char* kNames[] = {
      "chown",         "dac_override",  "dac_read_search", "fowner",     "fsetid",
      "kill",          "setgid",        "setuid",          "setpcap",    "linux_immutable",
      "net_bind",      "net_broadcast", "net_admin",       "net_raw",    "ipc_lock",
      "ipc_owner",     "sys_module",    "sys_rawio",       "sys_chroot", "sys_ptrace",
      "sys_pacct",     "sys_admin",     "sys_boot",        "sys_nice",   "sys_resource",
      "sys_time",      "sys_tty",       "mknod",           "lease",      "audit_write",
      "audit_control", "setfcap",       "mac_override",    "mac_admin",  "syslog",
      "wake_alarm",    "block_suspend", "audit_read",      "perfmon",    "bpf",
      "checkpoint"};
  Sets sets;
  if (!read_sets(sets)) return "unknown";
  std::string text;
  for (size_t cap = 0; cap < std::size(kNames); cap++)
    if (sets.permitted >> cap & 1) text += (text.empty() ? "" : " ") + std::string(kNames[cap]);
  return text.empty() ? "none" : text;
}

}  // namespace shunt::control
