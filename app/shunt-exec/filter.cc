#include "filter.h"

#include <fcntl.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace shunt::exec {

namespace {

/// What select() takes, and the usual limit of a process.
constexpr rlim_t kMostDescriptors = 1024;
/// Arguments of 32 bits: what lies above them in a register means nothing.
constexpr uint64_t kInt = 0xFFFFFFFF;

scmp_arg_cmp has_bits(unsigned argument, uint64_t mask, uint64_t bits) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, bits};
}
scmp_arg_cmp is_int(unsigned argument, uint64_t value) {
  return has_bits(argument, kInt, value);
}

class Rules {
 public:
  explicit Rules(scmp_filter_ctx context) : x_context(context) {}

  void ask(int call, std::vector<scmp_arg_cmp> conditions = {}) {
    add(SCMP_ACT_NOTIFY, call, conditions);
  }
  void refuse(int call, int error, std::vector<scmp_arg_cmp> conditions) {
    add(SCMP_ACT_ERRNO(static_cast<uint32_t>(error)), call, conditions);
  }
  int error() const { return x_error; }

 private:
  void add(uint32_t action, int call, const std::vector<scmp_arg_cmp>& conditions) {
    const int added = seccomp_rule_add_exact_array(
        x_context, action, call, static_cast<unsigned>(conditions.size()), conditions.data());
    if (added < 0 && x_error == 0) x_error = -added;
  }

  scmp_filter_ctx x_context;
  int x_error = 0;
};

/// Generic-netlink sockets: making them, and what a Unix socket in their place cannot do.
void add_sockets(Rules& rules, const SocketNumbers& numbers) {
  const auto is_one = has_bits(0, kInt & ~uint64_t{SocketNumbers::kCount - 1},
                               static_cast<uint64_t>(numbers.first));
  rules.ask(SYS_socket, {is_int(0, AF_NETLINK), is_int(2, NETLINK_GENERIC)});
  for (int call : {SYS_recvmsg, SYS_bind, SYS_connect, SYS_getsockname, SYS_getpeername, SYS_dup})
    rules.ask(call, {is_one});
  rules.ask(SYS_recvfrom, {is_one, {4, SCMP_CMP_NE, 0, 0}});  // who asks for the sender's address
  for (int command : {F_DUPFD, F_DUPFD_CLOEXEC})
    rules.ask(SYS_fcntl, {is_one, is_int(1, static_cast<uint64_t>(command))});
  for (int call : {SYS_getsockopt, SYS_setsockopt})
    rules.ask(call, {is_one, is_int(1, SOL_NETLINK)});
  for (int option : {SO_DOMAIN, SO_TYPE, SO_PROTOCOL})
    rules.ask(SYS_getsockopt,
              {is_one, is_int(1, SOL_SOCKET), is_int(2, static_cast<uint64_t>(option))});
  // The older interface of IPVS is not there, as in a kernel without the module.
  constexpr uint64_t kOptions = 128;
  static_assert(IP_VS_BASE_CTL % kOptions == 0);
  for (int call : {SYS_getsockopt, SYS_setsockopt})
    rules.refuse(call, ENOPROTOOPT,
                 {is_int(1, IPPROTO_IP), has_bits(2, kInt & ~(kOptions - 1), IP_VS_BASE_CTL)});
}

/// Calls that name a file, which may be one of IPVS in /proc. A filter cannot see the name.
void add_files(Rules& rules) {
  constexpr uint64_t kNoFile = O_DIRECTORY | O_PATH;
  rules.ask(SYS_open, {has_bits(1, kNoFile, 0)});
  rules.ask(SYS_openat, {has_bits(2, kNoFile, 0)});
  for (int call : {SYS_openat2, SYS_stat, SYS_lstat, SYS_access, SYS_faccessat, SYS_faccessat2})
    rules.ask(call);
  rules.ask(SYS_newfstatat, {has_bits(3, AT_EMPTY_PATH, 0)});
  rules.ask(SYS_statx, {has_bits(2, AT_EMPTY_PATH, 0)});
}

Error failed(int error) {
  if (error == EBUSY)
    return {
        "seccomp user notification has another supervisor already (another shunt-exec, or a "
        "container's)",
        126};
  return {"the kernel refuses seccomp user notification (" + std::string(std::strerror(error)) +
              "): it is in Linux since 5.14, where seccomp is not forbidden",
          126};
}

}  // namespace

Result<SocketNumbers> choose_socket_numbers() {
  constexpr rlim_t kCount = SocketNumbers::kCount;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t end = std::min(limit.rlim_cur, kMostDescriptors) / kCount * kCount;
  if (end < 2 * kCount)
    return Error{"at most " + std::to_string(limit.rlim_cur) +
                     " descriptors (ulimit -n): " + std::to_string(2 * kCount) + " are the least",
                 126};
  return SocketNumbers{static_cast<int>(end - kCount)};
}

Result<int> install_filter(const SocketNumbers& numbers) {
  const scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
  if (!context) return failed(ENOMEM);
  seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
  seccomp_attr_set(context, SCMP_FLTATR_CTL_SSB, 1);       // no mitigation that makes it slower
  seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree, not a list
  Rules rules(context);
  add_sockets(rules, numbers);
  add_files(rules);
  int error = rules.error();
  for (uint32_t no_new_privileges : {0, 1}) {
    if (error != 0 && error != EACCES) break;
    seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, no_new_privileges);
    // What it returns is the library's own number, where a listener is asked for.
    error = seccomp_load(context) == 0 ? 0 : errno;
    if (error == 0) break;
  }
  const int listener = error == 0 ? seccomp_notify_fd(context) : -1;
  seccomp_release(context);
  return error == 0 ? Result<int>(listener) : Result<int>(failed(error));
}

}  // namespace shunt::exec
